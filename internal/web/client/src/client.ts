import type { AuthClient, AuthClientOptions, AuthState, LoginInput, User } from './auth-client.d.ts';
import { createHeld, now } from './held.ts';
import { createSession, PAYLOAD, type Payload } from './session.ts';
import { openTabs } from './tabs.ts';
import { ANSWER_WAIT, asAuthError, ask, AuthError } from './wire.ts';

const tooLate = () => new AuthError('Logged out meanwhile.', { code: 'SESSION_ENDED' });

export function createAuthClient({ url, storage }: AuthClientOptions): AuthClient {
  const page = !storage && !!globalThis.document;
  const tabs = openTabs(`latchkey ${page ? new URL(url, location.href) : url}`, page);
  const held = createHeld(!!tabs.leaving());
  const session = createSession(url, storage, tabs, held);
  let departures = 0;
  let refusal: AuthError | void; // of the last refresh, with the wait that the server wants
  let until = 0;
  let refreshing: Promise<AuthState> | null = null;

  // Requests that change the cookie take turns, or a late answer would put an old one over a new
  // one: giving a request up does not keep its cookie away. Only a refresh may overtake.
  const inTurn = <T>(work: () => Promise<T>) => tabs.exclusive(work, ANSWER_WAIT).finally(held.publish);

  async function attempt() {
    const { token, era } = held;
    if (now() >= until) {
      refusal = await tabs.exclusive(() => session.renew(token, era));
      until = now() + (refusal?.retryAfter ?? 0) * 1000;
    }
    if (refusal && held.state.status === 'unknown') held.forget(refusal);
    held.publish();
    if (refusal) throw refusal;
    return held.state;
  }

  const refresh = () => (refreshing ??= attempt().finally(() => (refreshing = null)));

  async function getAccessToken() {
    if (held.state.status === 'signedOut') return null;
    if (!held.isLiving()) await refresh();
    return held.token;
  }

  async function signIn(field: 'login' | 'signUp', type: string, input: LoginInput): Promise<User> {
    const before = departures;
    return inTurn(async () => {
      const sent = now();
      const query = `mutation($input: ${type}!) { ${field}(input: $input) ${PAYLOAD} }`;
      const data = await ask(url, query, { input: { ...input, delivery: storage ? 'BODY' : 'COOKIE' } }, !storage);
      const payload: Payload = data[field];
      if (departures !== before) {
        await storage?.save(payload.refreshToken); // for the logout, which waits for its turn
        throw tooLate();
      }
      until = 0;
      await session.adopt(payload, sent, held.era);
      return payload.user;
    }).catch((reason) => {
      throw asAuthError(reason);
    });
  }

  async function logout() {
    departures++;
    if (held.session) tabs.leaving(held.session);
    held.take(null);
    const began = ++held.era; // whoever has signed in meanwhile stays
    held.publish();
    void tabs.tell(null);
    await inTurn(() => session.leave(began)).catch(() => {});
  }

  async function revokeAll(): Promise<number> {
    const who = held.state.user?.id;
    for (let again = true; ; again = false) {
      const used = await getAccessToken();
      const began = held.era;
      if (held.state.user?.id !== who) throw tooLate();
      try {
        return await inTurn(async () => {
          const { revokeAll } = await ask(url, 'mutation { revokeAll }', {}, !storage, used);
          await session.drop(began);
          return revokeAll;
        });
      } catch (reason) {
        const error = asAuthError(reason);
        if (!again || error.code !== 'UNAUTHENTICATED') throw error;
        if (held.token === used) await refresh();
      }
    }
  }

  tabs.listen((news) => {
    if (news && news.session === tabs.leaving()) return; // sent before the other tab knew
    held.take(news);
    held.publish();
  });
  if (page) {
    const again = async (wanted: unknown) => {
      if (!wanted) return;
      await refreshing?.catch(() => {}); // of before the freeze: void
      refresh().catch(() => {});
    };
    // A frozen page holds nothing private, and shows nothing before the server has been asked.
    addEventListener('pagehide', ({ persisted }) => {
      if (persisted) held.forget();
      held.publish();
    });
    addEventListener('pageshow', ({ persisted }) => again(persisted));
    addEventListener('online', () => again(refusal || tabs.leaving()));
  }
  const client: AuthClient = {
    url,
    ready: page || storage ? refresh().catch(() => held.state) : Promise.resolve(held.state),
    get state() {
      return held.state;
    },
    getAccessToken,
    refresh,
    signUp: (input) => signIn('signUp', 'SignUpInput', input),
    login: (input) => signIn('login', 'LoginInput', input),
    logout,
    revokeAll,
    onAuthChange: held.onAuthChange,
    subscribe: held.subscribe,
  };
  return client;
}
