// Runs in every page before its own scripts: keeps what was ever to be seen, so that a flash that
// nobody could look at in time is found all the same.

/* global window, document */
export function observe() {
  const seen = (window.__seen = { screens: [], persisted: [] });
  const look = (when) => {
    if (!document.body) return;
    const text = document.body.innerText;
    const fields = [...document.querySelectorAll('input')].map((input) => input.value).join(' ');
    const form = document.querySelector('form[aria-label="Log in"]') !== null;
    const last = seen.screens.at(-1);
    if (!last || last.text !== text || last.fields !== fields || last.form !== form || when !== 'change') {
      seen.screens.push({ when, text, fields, form });
    }
  };
  new MutationObserver(() => look('change')).observe(document, { subtree: true, childList: true, characterData: true });
  addEventListener('pagehide', () => look('pagehide'), { capture: true });
  addEventListener(
    'pageshow',
    ({ persisted }) => {
      seen.persisted.push(persisted);
      look('pageshow'); // before any listener of the app
      requestAnimationFrame(() => look('first frame'));
    },
    { capture: true },
  );
}

// A clock that is wrong by some milliseconds; performance.now() tells the truth, as in browsers.
export function shiftClock(by) {
  const Real = Date;
  globalThis.Date = class extends Real {
    constructor(...args) {
      super(...(args.length > 0 ? args : [Real.now() + by]));
    }

    static now() {
      return Real.now() + by;
    }
  };
}

// Where a script, or whoever sits down at the machine next, could find a secret.
export async function storedText() {
  const databases = (await indexedDB.databases?.()) ?? [];
  const cacheNames = await caches.keys();
  return JSON.stringify([
    { ...localStorage }, { ...sessionStorage }, document.cookie, databases, cacheNames, history.state,
    location.href, window.name, document.documentElement.outerHTML,
  ]);
}
