import type { AuthClient } from './auth-client.d.ts';

const QUERY = 'subscription { sessionEvents { kind } }';
const SHORT = 5_000; // a stream that was refused, or cut

export function watchSession(auth: AuthClient): () => void {
  const end = new AbortController();
  let listening: AbortController | null = null;

  /** Reads one stream to its end, and answers whether it was one to wait on. */
  async function listen(signal: AbortSignal) {
    const began = performance.now();
    const answer = await fetch(auth.url, {
      method: 'POST',
      headers: {
        accept: 'text/event-stream',
        authorization: `Bearer ${await auth.getAccessToken()}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ query: QUERY }),
      signal,
    });
    const reader = answer.body?.getReader();
    if (!reader) stop(); // React Native reads no streams
    while (reader && !(await reader.read()).done);
    return performance.now() - began > SHORT;
  }

  async function watch(signal: AbortSignal) {
    for (let failures = 0; auth.state.status === 'signedIn' && !signal.aborted; ) {
      let waited = false;
      try {
        waited = await listen(signal);
        await auth.refresh(); // tells whether the session has ended, or only the token
      } catch {
        waited = false;
      }
      failures = waited ? 0 : failures + 1;
      if (failures && !signal.aborted) await pause(failures, signal);
    }
  }

  /** Of all tabs the one that gets the lock listens; the others hear of it from that one's client. */
  function start() {
    if (listening || end.signal.aborted || auth.state.status !== 'signedIn') return;
    const mine = (listening = new AbortController());
    const work = () => watch(mine.signal);
    const locks = typeof document === 'undefined' ? undefined : navigator.locks;
    const done = locks ? locks.request(`latchkey ${auth.url} watch`, { signal: mine.signal }, work) : work();
    done.catch(() => {}).finally(() => {
      if (listening === mine) listening = null;
    });
  }

  function pauseListening() {
    listening?.abort();
    listening = null;
  }

  function stop() {
    end.abort();
    unsubscribe();
    pauseListening();
  }

  const unsubscribe = auth.subscribe(start);
  if (typeof document !== 'undefined') {
    // An open stream, and a lock, would keep the page from the back-forward cache.
    addEventListener('pagehide', pauseListening, end);
    addEventListener('pageshow', start, end);
  }
  start();
  return stop;
}

/** Half a second to half a minute, longer after every failure; over at once when the network is back. */
function pause(failures: number, signal: AbortSignal) {
  return new Promise<void>((resolve) => {
    const over = new AbortController();
    const wake = () => {
      clearTimeout(timer);
      over.abort(); // takes the listeners away
      resolve();
    };
    const timer = setTimeout(wake, Math.min(30_000, 500 * 2 ** failures) * (0.5 + Math.random() / 2));
    signal.addEventListener('abort', wake, over);
    globalThis.addEventListener?.('online', wake, over);
  });
}
