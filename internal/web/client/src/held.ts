import type { AuthError, AuthState, User } from './auth-client.d.ts';
import type { News } from './tabs.ts';

const UNKNOWN: AuthState = { status: 'unknown', user: null, error: null };
const SIGNED_OUT: AuthState = { status: 'signedOut', user: null, error: null };

// A clock that nobody sets. Whatever it says, a refused token is renewed.
export const now = () => performance.now();

/** What a page holds of its session, and whom it tells. */
export function createHeld(signedOut: boolean) {
  const listeners = new Set<() => void>();
  const authListeners = new Set<(user: User | null) => void>();
  let told = UNKNOWN;
  let toldUser: string | null | undefined;
  let expires = 0;

  const held = {
    state: signedOut ? SIGNED_OUT : UNKNOWN,
    token: null as string | null,
    session: undefined as string | undefined,
    /** Counts sign-ins and sign-outs: what began before one is void after it. */
    era: 0,

    isLiving: () => now() < expires,

    /** null: nobody is signed in, unless the next state says otherwise. */
    take(news: News | null, next: AuthState = news ? { status: 'signedIn', user: news.user, error: null } : SIGNED_OUT) {
      if (held.session !== news?.session) held.era++;
      held.session = news?.session;
      held.token = news && news.token;
      expires = news ? now() + news.left : 0;
      if (JSON.stringify(next) !== JSON.stringify(held.state)) held.state = next;
    },

    /** Why it is not known who is signed in; null: not asked yet. */
    forget(error: AuthError | null = null) {
      held.era++;
      held.take(null, { status: 'unknown', user: null, error });
    },

    /** Tells the listeners what has changed; never inside a lock, which they could keep. */
    publish() {
      const state = held.state;
      if (state === told) return;
      told = state;
      const { status, user } = state;
      const tell: ((user: User | null) => void)[] = [...listeners];
      const id = user?.id ?? null;
      if (status !== 'unknown' && toldUser !== id) {
        if (toldUser !== undefined) tell.unshift(...authListeners);
        toldUser = id;
      }
      for (const listener of tell) {
        if (told !== state) return; // one of them has changed it, and all have heard of that
        try {
          listener(user);
        } catch (error) {
          console.error(error);
        }
      }
    },

    subscribe: (listener: () => void) => add(listeners, listener),
    onAuthChange: (listener: (user: User | null) => void) => add(authListeners, listener),
  };
  return held;
}

function add<T>(set: Set<T>, listener: T) {
  set.add(listener);
  return () => void set.delete(listener);
}

export type Held = ReturnType<typeof createHeld>;
