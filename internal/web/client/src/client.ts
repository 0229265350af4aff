import type { AuthClient, AuthClientOptions, AuthState, LoginInput, User } from './auth-client.d.ts';
import { authFetch } from './fetch.ts';
import { createHeld, now } from './held.ts';
import { openTabs } from './tabs.ts';
import { AuthError, ask } from './wire.ts';

type Payload = { accessToken: string; expiresIn: number; refreshToken: string | null; user: User };

const LEAVING = 'logout '; // before a stored token: the server has not heard of it yet
const PAYLOAD = '{ accessToken expiresIn refreshToken user { id email emailVerified name roles createdAt } }';

export function createAuthClient({ url, storage }: AuthClientOptions): AuthClient {
  const page = !storage && !!globalThis.document;
  const tabs = openTabs(`latchkey ${url}`, page);
  const held = createHeld(tabs.leaving());
  let refusal: AuthError | undefined; // of the last refresh, with the wait that the server wants
  let until = 0;
  let refreshing: Promise<AuthState> | null = null;

  /** Takes what the server has answered, here and in the other tabs. */
  async function adopt(payload: Payload | null, sent = 0) {
    if (storage && (!payload || payload.refreshToken)) await storage.save(payload && payload.refreshToken);
    // Counted from before the question: the answer may have been long on its way.
    const news = payload && { token: payload.accessToken, left: sent + payload.expiresIn * 1000 - now(), user: payload.user };
    held.take(news);
    await tabs.tell(news);
  }

  async function endSession(stored?: string | null) {
    const t = stored?.replace(LEAVING, '');
    await ask(url, 'mutation($t: String) { logout(refreshToken: $t) }', { t }, !storage);
    tabs.leaving(false);
    await storage?.save(null);
  }

  /** Answers why it cannot be known who is signed in, if so. */
  async function renew(began: number, again = true): Promise<AuthError | void> {
    if (held.era !== began) return; // another tab was faster
    try {
      const stored = await storage?.load();
      if (tabs.leaving() || stored?.startsWith(LEAVING)) return endSession(stored).catch(() => {}).then(() => held.take(null));
      if (storage && !stored) return held.take(null);
      const sent = now();
      const query = `mutation($t: String) { refresh(refreshToken: $t) ${PAYLOAD} }`;
      const { refresh } = await ask(url, query, { t: stored }, !storage, held.stale.signal);
      if (held.era === began) await adopt(refresh, sent);
      refusal = undefined;
    } catch (reason) {
      const error = reason instanceof AuthError ? reason : new AuthError(`${reason}`, { code: 'STORAGE_ERROR' });
      if (held.era !== began) return;
      if (error.reason === 'CROSS_SITE') console.warn(error.message); // or nobody would know why
      if (error.code === 'SESSION_ENDED') return adopt(null);
      refusal = error;
      until = now() + (error.retryAfter ?? 0) * 1000;
      // The answer may be lost, and the cookie with it: it has to come before the old one is void.
      return again && error.code === 'NETWORK_ERROR' && !error.retryAfter ? renew(began, false) : error;
    }
  }

  async function attempt() {
    const began = held.era;
    const error = now() < until ? refusal : await tabs.exclusive(() => renew(began));
    if (error && held.state.status === 'unknown') held.forget(error);
    held.publish();
    if (error) throw error;
    return held.state;
  }

  const refresh = () => (refreshing ??= attempt().finally(() => (refreshing = null)));

  async function getAccessToken() {
    if (held.state.status === 'signedOut') return null;
    if (!held.isLiving()) await refresh();
    return held.token;
  }

  async function signIn(field: 'login' | 'signUp', type: string, input: LoginInput): Promise<User> {
    const user = await tabs.exclusive(async () => {
      const sent = now();
      const query = `mutation($input: ${type}!) { ${field}(input: $input) ${PAYLOAD} }`;
      const data = await ask(url, query, { input: { ...input, delivery: storage ? 'BODY' : 'COOKIE' } }, !storage);
      tabs.leaving(false);
      until = 0;
      await adopt(data[field], sent);
      return data[field].user;
    });
    held.publish();
    return user;
  }

  async function logout() {
    tabs.leaving(true);
    held.take(null);
    tabs.tell(null);
    held.publish();
    const began = held.era; // whoever has signed in meanwhile stays
    const stored = await storage?.load();
    if (stored) await storage!.save(LEAVING + stored);
    await tabs.exclusive(async () => held.era === began && endSession(stored)).catch(() => {});
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
