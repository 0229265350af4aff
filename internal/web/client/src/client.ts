import type { AuthClient, AuthClientOptions, AuthState, LoginInput, User } from './auth-client.d.ts';
import { authFetch } from './fetch.ts';
import { createHeld, now } from './held.ts';
import { openTabs } from './tabs.ts';
import { AuthError, ask } from './wire.ts';

type Payload = { accessToken: string; expiresIn: number; refreshToken: string | null; user: User };

const PAYLOAD = '{ accessToken expiresIn refreshToken user { id email emailVerified name roles createdAt } }';

export function createAuthClient({ url, storage }: AuthClientOptions): AuthClient {
  const page = !storage && typeof document !== 'undefined';
  const tabs = openTabs(`latchkey ${url}`, page);
  const held = createHeld(tabs.leaving());
  let refusal: { error: AuthError; until: number } | null = null;
  let refreshing: Promise<AuthState> | null = null;

  /** Takes what the server has answered, here and in the other tabs. */
  async function adopt(payload: Payload | null, sent = 0) {
    if (storage && (!payload || payload.refreshToken)) await storage.save(payload && payload.refreshToken);
    // Counted from before the question: the answer may have been long on its way.
    const news = payload && { token: payload.accessToken, left: sent + payload.expiresIn * 1000 - now(), user: payload.user };
    held.take(news);
    tabs.tell(news);
  }

  async function endSession(refreshToken?: string | null) {
    await ask(url, 'mutation($t: String) { logout(refreshToken: $t) }', { t: refreshToken }, !storage);
    tabs.leaving(false);
  }

  /** Answers why the server could not tell, if so. */
  async function renew(began: number): Promise<AuthError | void> {
    if (held.era !== began) return; // another tab was faster
    if (tabs.leaving()) return endSession().catch(() => {}).then(() => held.take(null));
    const refreshToken = await storage?.load();
    if (storage && !refreshToken) return held.take(null);
    const sent = now();
    try {
      const query = `mutation($t: String) { refresh(refreshToken: $t) ${PAYLOAD} }`;
      const { refresh } = await ask(url, query, { t: refreshToken }, !storage, held.stale.signal);
      if (held.era === began) await adopt(refresh, sent);
    } catch (error) {
      if (held.era !== began) return;
      if (!(error instanceof AuthError)) throw error;
      if (error.reason === 'CROSS_SITE') console.warn(error.message); // or nobody would know why
      if (error.code === 'SESSION_ENDED') return adopt(null);
      if (error.retryAfter) refusal = { error, until: now() + error.retryAfter * 1000 };
      return error;
    }
  }

  async function attempt() {
    const seconds = Math.ceil(((refusal?.until ?? 0) - now()) / 1000);
    const error =
      refusal && seconds > 0
        ? new AuthError(refusal.error.message, { ...refusal.error, retryAfter: seconds })
        : await tabs.exclusive(renew.bind(null, held.era));
    if (error && held.state.status === 'unknown') held.forget(error);
    held.publish();
    if (error) throw error;
    return held.state;
  }

  const refresh = () => (refreshing ??= attempt().finally(() => (refreshing = null)));

  async function getAccessToken() {
    if (held.state.status === 'signedOut') return null;
    if (!held.token || held.hasExpired()) await refresh();
    return held.token;
  }

  async function signIn(field: 'login' | 'signUp', type: string, input: LoginInput): Promise<User> {
    const user = await tabs.exclusive(async () => {
      const sent = now();
      const query = `mutation($input: ${type}!) { ${field}(input: $input) ${PAYLOAD} }`;
      const data = await ask(url, query, { input: { ...input, delivery: storage ? 'BODY' : 'COOKIE' } }, !storage);
      tabs.leaving(false);
      refusal = null;
      await adopt(data[field], sent);
      return data[field].user;
    });
    held.publish();
    return user;
  }

  async function logout() {
    const refreshToken = await storage?.load();
    tabs.leaving(true);
    await adopt(null);
    held.publish();
    const began = held.era; // whoever has signed in meanwhile stays
    await tabs.exclusive(async () => held.era === began && endSession(refreshToken)).catch(() => {});
  }

  async function revokeAll() {
    const data = await ask(url, 'mutation { revokeAll }', {}, !storage, undefined, authFetch(client));
    await adopt(null);
    held.publish();
    return data.revokeAll;
  }

  tabs.listen((news) => {
    held.take(news);
    held.publish();
  });
  if (page) {
    const again = (wanted: boolean) => void (wanted && refresh().catch(() => {}));
    // A frozen page holds nothing private, and shows nothing before the server has been asked.
    addEventListener('pagehide', ({ persisted }) => {
      if (persisted) held.forget();
      held.publish();
    });
    addEventListener('pageshow', ({ persisted }) => again(persisted));
    addEventListener('online', () => again(held.state.status === 'unknown' || tabs.leaving()));
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
