import type { User } from './auth-client.d.ts';

const LOCK_WAIT = 3_000;

/** A new token, with the milliseconds that it has left. */
export type News = { token: string; session: string; left: number; user: User };

/** What the tabs of an origin share. Apps without a page share nothing, and take turns within. */
export function openTabs(name: string, page: boolean) {
  const open = () => (page && globalThis.BroadcastChannel ? new BroadcastChannel(name) : null);
  const near = open();
  const far = open();
  let queue: Promise<any> = Promise.resolve();
  let left: string | undefined;

  /** Sends something round: what other tabs sent before it is here when it comes back. */
  const round = async (data: News | null | 0) => {
    if (near) {
      await new Promise((resolve) => {
        far!.addEventListener('message', resolve, { once: true });
        near.postMessage(data);
      });
    }
  };

  return {
    /** Tells the other tabs of a new token, or with null that nobody is signed in any more. */
    tell: (news: News | null) => round(news),

    listen(heard: (news: News | null) => void) {
      // Other versions of this code may say other things.
      if (near) near.onmessage = ({ data }) => (data === null || data.user) && heard(data);
    },

    /**
     * The session that is to end, of which the server may not have heard yet: it outlives the page.
     * A string sets it, null forgets it.
     */
    leaving(session?: string | null): string | undefined {
      if (session !== undefined) left = session ?? undefined;
      try {
        if (page && session) localStorage[name] = session;
        if (page && session === null) delete localStorage[name];
        return left ?? (page ? localStorage[name] : undefined);
      } catch {
        return left;
      }
    },

    /** Runs one piece of work at a time in all tabs. Nobody waits for ever for a tab that hangs. */
    exclusive<T>(work: () => Promise<T>, wait = LOCK_WAIT): Promise<T> {
      if (!page || !navigator.locks) return (queue = queue.catch(() => {}).then(work));
      let turn: Promise<T> | undefined;
      // A lock is often here before the news of the tab that had it: what goes round comes after them.
      const begin = () => (turn = round(0).then(work));
      const signal = AbortSignal.timeout?.(wait);
      return navigator.locks.request(name, { signal }, begin).catch(() => turn ?? work());
    },
  };
}

export type Tabs = ReturnType<typeof openTabs>;
