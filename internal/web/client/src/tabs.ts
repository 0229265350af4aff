import type { User } from './auth-client.d.ts';

const LOCK_WAIT = 3_000;

/** A new token, with the milliseconds that it has left. */
export type News = { token: string; left: number; user: User };

/** What the tabs of an origin share. Apps without a page share nothing, and take turns within. */
export function openTabs(name: string, page: boolean) {
  const open = () => (page && globalThis.BroadcastChannel ? new BroadcastChannel(name) : null);
  const near = open();
  const far = open();
  let queue: Promise<any> = Promise.resolve();

  /** Sends something round, and waits until it is back. */
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
      if (near) near.onmessage = ({ data }) => data === 0 || heard(data);
    },

    /** The flag of a logout that the server has not heard of yet. It outlives the page. */
    leaving(flag?: boolean) {
      try {
        if (flag) localStorage[name] = 'logout';
        else if (flag === false) delete localStorage[name];
        return page && name in localStorage;
      } catch {
        return false;
      }
    },

    /** Runs one piece of work at a time in all tabs. Nobody waits long for a tab that hangs. */
    exclusive<T>(work: () => Promise<T>): Promise<T> {
      if (!page || !navigator.locks) return (queue = queue.catch(() => {}).then(work));
      let turn: Promise<T> | undefined;
      // A lock is often here before the news of the tab that had it: what goes round comes after them.
      const begin = () => (turn = round(0).then(work));
      const signal = AbortSignal.timeout?.(LOCK_WAIT);
      return navigator.locks.request(name, { signal }, begin).catch(() => turn ?? work());
    },
  };
}
