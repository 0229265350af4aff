import { useMutation, useQuery } from "@apollo/client/react";
import type { AuthError, User } from "latchkey-client";
import { type ComponentProps, useActionState, useState, useSyncExternalStore } from "react";
import { auth } from "./client";
import { graphql } from "./graphql";

const SESSIONS = graphql(`query Sessions { sessions { id lastUsedAt userAgent current } }`);
const UPDATE_PROFILE = graphql(`mutation UpdateProfile($name: String) { updateProfile(name: $name) { id name } }`);

export function App() {
  const { status, user, error } = useSyncExternalStore(auth.subscribe, () => auth.state);
  return (
    <main>
      <h1>Latchkey with Apollo Client</h1>
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
  const [error, act] = useActionState(attempt, null);
  return (
    <>
      <p>Signed in as {user.email}</p>
      <Sessions />
      <Profile name={user.name} />
      <Alert error={error} />
      <form>
        <button formAction={() => auth.logout()}>Log out</button>
        <button formAction={() => act(() => auth.revokeAll())}>Log out everywhere</button>
      </form>
    </>
  );
}

function Sessions() {
  const { data, loading, error, refetch } = useQuery(SESSIONS);
  return (
    <section>
      <h2>Your sessions</h2>
      {loading && !data && <p>Loading…</p>}
      <Alert error={error} />
      <ul aria-label="Sessions" aria-busy={loading}>
        {data?.sessions?.map((session) => (
          <li key={session.id}>
            {session.userAgent ?? "Unknown device"}, {new Date(session.lastUsedAt).toLocaleString()}
            {session.current && <strong>, this device</strong>}
          </li>
        ))}
      </ul>
      <button onClick={() => refetch()}>Reload</button>
    </section>
  );
}

function Profile(user: Pick<User, "name">) {
  const [name, setName] = useState(user.name ?? "");
  const [save, { data, error }] = useMutation(UPDATE_PROFILE);
  return (
    <form aria-label="Profile" action={() => void save({ variables: { name } })}>
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
function Alert({ error }: { error: (Error & Partial<AuthError>) | null | undefined }) {
  const message = error instanceof TypeError ? "The server cannot be reached." : error?.message;
  return error && <p role="alert">{error.fields?.map((field) => field.message).join(" ") ?? message}</p>;
}

const attempt = (_: unknown, act: () => Promise<unknown>) => act().then(() => null, (error: AuthError) => error);
