import type { User } from './auth-client.d.ts';

const LOCK_WAIT = 3_000;

/** A new token, with the milliseconds that it has left. */
export type News = { token: string; left: number; user: User };

/** What the tabs of an origin share. Apps without a page share nothing, and take turns within. */
export function openTabs(name: string, page: boolean) {
  const channel = page && globalThis.BroadcastChannel ? new BroadcastChannel(name) : null;
  let queue: Promise<unknown> = Promise.resolve();

  return {
    /** Tells the other tabs of a new token, or with null that nobody is signed in any more. */
    tell(news: News | null) {
      channel?.postMessage(news);
    },

    listen(heard: (news: News | null) => void) {
      if (channel) channel.onmessage = ({ data }) => heard(data);
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
    async exclusive<T>(work: () => Promise<T>): Promise<T> {
      if (!page || !navigator.locks) {
        const turn = queue.then(work);
        queue = turn.catch(() => {});
        return turn;
      }
      let begun = false;
      const begin = () => {
        begun = true;
        return work();
      };
      try {
        return await navigator.locks.request(name, { signal: AbortSignal.timeout(LOCK_WAIT) }, begin);
      } catch (error) {
        if (begun) throw error;
        return work();
      }
    },
  };
}
