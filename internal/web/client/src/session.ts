import type { RefreshTokenStorage, User } from './auth-client.d.ts';
import { type Held, now } from './held.ts';
import type { Tabs } from './tabs.ts';
import { type AuthError, asAuthError, ask } from './wire.ts';

export type Payload = { accessToken: string; expiresIn: number; refreshToken: string | null; sessionId: string; user: User };
type Stored = string | null | undefined;

export const PAYLOAD = '{ accessToken expiresIn refreshToken sessionId user { id email emailVerified name roles createdAt } }';
const LEAVING = 'logout '; // before a stored token: the server has not heard of it yet

/**
 * What becomes of a session by what the server answers. All of it runs in turn; an answer is void
 * when somebody has signed in or out since the era in which it was asked for.
 */
export function createSession(url: string, storage: RefreshTokenStorage | undefined, tabs: Tabs, held: Held) {
  /** Takes what the server has answered, here and in the other tabs, unless it is void by now. */
  async function adopt(payload: Payload, sent: number, began: number) {
    await storage?.save(payload.refreshToken);
    if (held.era !== began) return;
    if (payload.sessionId === tabs.leaving()) return finishLogout(payload.refreshToken, began);
    tabs.leaving(null);
    // Counted from before the question: the answer may have been long on its way.
    const left = sent + payload.expiresIn * 1000 - now();
    const news = { token: payload.accessToken, session: payload.sessionId, left, user: payload.user };
    held.take(news);
    await tabs.tell(news);
  }

  /** The session is over. */
  async function drop(began: number) {
    if (held.era !== began) return;
    held.take(null);
    tabs.leaving(null);
    await tabs.tell(null);
    await storage?.save(null);
  }

  async function endSession(stored: Stored) {
    const t = stored?.replace(LEAVING, '');
    await ask(url, 'mutation($t: String) { logout(refreshToken: $t) }', { t }, !storage);
    tabs.leaving(null);
    await storage?.save(null);
  }

  /** Tells the server of a logout that it may not have heard of. Whatever it says, nobody is signed in. */
  async function finishLogout(stored: Stored, began: number) {
    await endSession(stored).catch(() => {});
    if (held.era === began) held.take(null);
  }

  /** Answers why it cannot be known who is signed in, if so. */
  async function renew(used: string | null, began: number, again = true): Promise<AuthError | void> {
    if (held.token !== used || held.era !== began) return; // another tab was faster
    try {
      const stored = await storage?.load();
      if (stored?.startsWith(LEAVING)) return finishLogout(stored, began);
      if (storage && !stored) return held.take(null);
      const sent = now();
      const query = `mutation($t: String) { refresh(refreshToken: $t) ${PAYLOAD} }`;
      const { refresh } = await ask(url, query, { t: stored }, !storage);
      await adopt(refresh, sent, began);
    } catch (reason) {
      const error = asAuthError(reason);
      if (error.reason === 'CROSS_SITE') console.warn(error.message); // or nobody would know why
      if (error.code === 'SESSION_ENDED') return drop(began).catch(asAuthError);
      // The answer may be lost, and the cookie with it: it has to come before the old one is void.
      return again && error.code === 'NETWORK_ERROR' && !error.retryAfter ? renew(used, began, false) : error;
    }
  }

  /** Ends the session here and there, and remembers to until the server has heard of it. */
  async function leave(began: number) {
    if (held.era !== began) return;
    const stored = (await storage?.load())?.replace(LEAVING, '');
    if (stored) await storage!.save(LEAVING + stored);
    await endSession(stored);
  }

  return { adopt, drop, leave, renew };
}
