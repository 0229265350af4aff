import type { AuthError, User } from "latchkey-client";
import { type ComponentProps, useActionState, useState, useSyncExternalStore } from "react";
import { type CombinedError, Provider, useMutation, useQuery } from "urql";
import { auth, makeClient } from "./client";
import { graphql } from "./graphql";

const SESSIONS = graphql(`query Sessions { sessions { id lastUsedAt userAgent current } }`);
const UPDATE_PROFILE = graphql(`mutation UpdateProfile($name: String) { updateProfile(name: $name) { id name } }`);

export function App() {
  const { status, user, error } = useSyncExternalStore(auth.subscribe, () => auth.state);
  return (
    <main>
      <h1>Latchkey with urql</h1>
      {status === "unknown" && !error && <p role="status">Loading…</p>}
      <Alert error={error} />
      {error && <p><button onClick={() => auth.refresh().catch(() => {})}>Try again</button></p>}
      {status === "signedOut" && <LogIn />}
      {user && <Account key={user.id} user={user} />}
    </main>
  );
}

function LogIn() {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [error, act, pending] = useActionState(attempt, null);
  return (
    <form aria-label="Log in" action={() => act(() => auth.login({ email, password }))}>
      <Field label="Email" type="email" autoComplete="username" value={email} set={setEmail} required />
      <Field label="Password" type="password" autoComplete="current-password" value={password} set={setPassword} required />
      <Alert error={pending ? null : error} />
      <button disabled={pending}>Log in</button>
      <button disabled={pending} formAction={() => act(() => auth.signUp({ email, password }))}>Sign up</button>
    </form>
  );
}

function Account({ user }: { user: User }) {
  const [client] = useState(makeClient);
  const [error, act] = useActionState(attempt, null);
  return (
    <Provider value={client}>
      <p>Signed in as {user.email}</p>
      <Sessions />
      <Profile name={user.name} />
      <Alert error={error} />
      <form>
        <button formAction={() => auth.logout()}>Log out</button>
        <button formAction={() => act(() => auth.revokeAll())}>Log out everywhere</button>
      </form>
    </Provider>
  );
}

function Sessions() {
  const [{ data, fetching, error }, execute] = useQuery({ query: SESSIONS });
  return (
    <section>
      <h2>Your sessions</h2>
      {fetching && !data && <p>Loading…</p>}
      <Alert error={error} />
      <ul aria-label="Sessions" aria-busy={fetching}>
        {data?.sessions?.map((session) => (
          <li key={session.id}>
            {session.userAgent ?? "Unknown device"}, {new Date(session.lastUsedAt).toLocaleString()}
            {session.current && <strong>, this device</strong>}
          </li>
        ))}
      </ul>
      <button onClick={() => execute({ requestPolicy: "network-only" })}>Reload</button>
    </section>
  );
}

function Profile(user: Pick<User, "name">) {
  const [name, setName] = useState(user.name ?? "");
  const [{ data, error }, save] = useMutation(UPDATE_PROFILE);
  return (
    <form aria-label="Profile" action={() => void save({ name })}>
      <Field label="Name" autoComplete="name" value={name} set={setName} />
      {data?.updateProfile && <p role="status">Saved {data.updateProfile.name}</p>}
      <Alert error={error} />
      <button>Save</button>
    </form>
  );
}

function Field({ label, set, ...input }: { label: string; set: (value: string) => void } & ComponentProps<"input">) {
  return <label>{label}<input {...input} onChange={(event) => set(event.target.value)} /></label>;
}

/** What went wrong, in plain words. */
function Alert({ error }: { error: (Error & Partial<AuthError & CombinedError>) | null | undefined }) {
  const cause = error?.networkError ?? error?.graphQLErrors?.[0] ?? error; // urql's own message begins "[GraphQL]"
  const message = cause instanceof TypeError ? "The server cannot be reached." : cause?.message;
  return error && <p role="alert">{error.fields?.map((field) => field.message).join(" ") ?? message}</p>;
}

const attempt = (_: unknown, act: () => Promise<unknown>) => act().then(() => null, (error: AuthError) => error);
