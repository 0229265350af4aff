import type { User } from './auth-client.d.ts';

const LOCK_WAIT = 3_000;

/** A new token, with the milliseconds that it has left. */
export type News = { token: string; left: number; user: User };

/** What the tabs of an origin share. Apps without a page share nothing, and take turns within. */
export function openTabs(name: string, page: boolean) {
  const channel = page && globalThis.BroadcastChannel ? new BroadcastChannel(name) : null;
  let queue: Promise<any> = Promise.resolve();

  /** A lock may overtake the news of the tab that had it: so both tabs wait for what goes round after them. */
  const echo = () =>
    new Promise<void>((resolve) => {
      const open = () => new BroadcastChannel(`${name} echo`);
      const far = open();
      far.onmessage = () => resolve(far.close());
      open().postMessage(0);
    });

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
    exclusive<T>(work: () => Promise<T>): Promise<T> {
      if (!page || !navigator.locks) return (queue = queue.catch(() => {}).then(work));
      let turn: Promise<T> | undefined;
      const begin = () => (turn = echo().then(work).finally(echo));
      const signal = AbortSignal.timeout(LOCK_WAIT);
      return navigator.locks.request(name, { signal }, begin).catch(() => turn ?? work());
    },
  };
}
