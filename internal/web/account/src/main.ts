// The account page: which view is shown, and what happens when it becomes another one.
import { createAuthClient } from '../../client/src/client.ts';
import { watchSession } from '../../client/src/watch.ts';
import { accountView } from './account.ts';
import { action } from './action.ts';
import { copy, part, put, text } from './dom.ts';
import type { Page, View } from './page.ts';
import { readReturn, showReturn } from './return.ts';
import { logInView, signUpView } from './signin.ts';

const PATIENCE = 400; // before the page speaks of waiting

const place = part(document, '#view');
const status = part(document, '#status');
const product = document.title;
const meta = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name=${name}]`)?.content ?? null;

const page: Page = {
  auth: createAuthClient({ url: new URL('/graphql', location.href).href }),
  back: readReturn(meta('return-to'), meta('return-refused')),
  email: '',
  isSigningIn: false,
  farewell: null,
  say: (text) => put(status, text),
};

/** Asks again for what is not known. */
const retryView: View = ({ auth }, view, signal) => {
  const { error } = auth.state;
  const { fail } = action(view, '#again', signal, auth.refresh);
  // What is there from the start is not read out.
  if (error && isTrouble(error)) queueMicrotask(() => fail(error));
};

const views: Record<string, View> = {
  'log-in': logInView,
  'sign-up': signUpView,
  away: retryView,
  trouble: retryView,
  going: ({ back }) => location.replace(back.to!),
  account: accountView,
};

let shown: string | null = null; // the view's template, and whose it is
let update: ReturnType<View>;
let leave = new AbortController();

const isTrouble = (error: { code: string; retryAfter?: number }) => error.code !== 'NETWORK_ERROR' || error.retryAfter;

/** The empty string is the view of those who wait. */
function wanted(): string {
  const { status, user, error } = page.auth.state;
  if (status === 'unknown') return error ? (isTrouble(error) ? 'trouble' : 'away') : '';
  if (status === 'signedOut') return location.hash === '#sign-up' ? 'sign-up' : 'log-in';
  if (page.back.to && (page.isSigningIn || shown === 'going')) return 'going';
  return `account ${user.id}`;
}

function render() {
  const next = wanted();
  const before = shown;
  if (next === before) return update?.();
  shown = next;
  leave.abort();
  leave = new AbortController();
  page.say(null);
  update = undefined;
  if (!next) return wait(leave.signal);
  const name = next.split(' ')[0]!;
  if (before?.startsWith('account') && page.auth.state.status === 'signedOut') {
    page.say(page.farewell ?? text('endedElsewhere'));
    page.farewell = null;
  }
  // Whoever logs out later begins with logging in.
  if (name === 'account' && location.hash) history.replaceState(null, '', location.pathname + location.search);
  const view = copy(name);
  showReturn(page.back, view);
  const title = part(view, 'h1');
  update = views[name]!(page, view, leave.signal);
  document.title = `${title.textContent} · ${product}`;
  place.replaceChildren(view);
  if (before) title.focus();
  else if (document.activeElement === document.body) place.querySelector<HTMLElement>('[type=email]')?.focus();
}

/** Shows nothing, and after a moment that it is being found out who is signed in. */
function wait(signal: AbortSignal) {
  place.replaceChildren();
  const timer = setTimeout(() => {
    place.append(copy('waiting'));
    page.say(text('checking'));
  }, PATIENCE);
  signal.addEventListener('abort', () => clearTimeout(timer));
}

page.auth.subscribe(render);
addEventListener('hashchange', render);
watchSession(page.auth);
render();
