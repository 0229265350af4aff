// What every step on the account page shares: the browser, the servers, and what must never happen.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { flags, openChromium } from '../lib/chromium.mjs';

export const password = 'paper lantern quay';

let emails = 0;

/** The servers are new, so these are too; and the pictures are the same every time. */
export const newEmail = (name = 'ada') => `${name}${emails++ || ''}@example.com`;

// Devices as they call themselves; the browser under test is the first.
export const devices = {
  'Firefox on Windows': 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0',
  'Safari on iPhone':
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1',
  'Chrome on Android': 'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36',
};

export const secrets = new Set([password]);
const wrong = []; // what must never happen, collected on the way
const expected = new Set(); // console errors that a step provokes
export const urls = JSON.parse(process.argv[2]); // server, limited, app and where it is, control
const shots = process.argv[3];
const wantsAll = Boolean(process.env.LATCHKEY_TEST_SCREENSHOTS);

const { context, close } = await openChromium({
  userAgent: devices['Firefox on Windows'],
  // The app's address is to be seen, and so the same every time.
  args: [...flags, `--host-resolver-rules=MAP ${new URL(urls.app).host} ${urls.appAt}`],
  ignoreDefaultArgs: ['--disable-back-forward-cache'], // Playwright's
});
export { close };

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
await context.exposeBinding('noteViolation', (_, text) => wrong.push(`CSP violation: ${text}`));
await context.addInitScript(() => {
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) => {
    globalThis.noteViolation(`${violatedDirective} ${blockedURI} ${sample}`);
  });
});
await context.addInitScript({ content: axe });

/** A tab that is watched. */
export async function openTab() {
  const tab = await context.newPage();
  tab.setDefaultTimeout(20_000);
  tab.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && ![...expected].some((part) => text.includes(part))) wrong.push(`console: ${text}`);
  });
  tab.on('pageerror', (error) => wrong.push(`exception: ${error.message}`));
  tab.on('dialog', (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  tab.on('response', async (response) => {
    if (new URL(response.url()).pathname !== '/graphql') return;
    const token = /"accessToken":"([^"]+)"/.exec(await response.text().catch(() => ''))?.[1];
    if (token) secrets.add(token);
  });
  return tab;
}

/** The browser reports what cannot be reached on the console; here it is meant to happen. */
export async function expecting(text, act) {
  expected.add(text);
  try {
    await act();
  } finally {
    expected.delete(text);
  }
}

/** Calls the API as another device would. */
export async function call(query, variables = {}, { token, device = 'Safari on iPhone', server = urls.server } = {}) {
  const headers = { 'content-type': 'application/json', 'user-agent': devices[device] };
  if (token) headers.authorization = `Bearer ${token}`;
  const answer = await fetch(`${server}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

const INPUT = '(input: {email: $email, password: $password, delivery: BODY}) { accessToken }';

export async function signUpElsewhere(email, options) {
  const query = `mutation($email: String!, $password: String!) { signUp${INPUT} }`;
  return (await call(query, { email, password }, options)).signUp.accessToken;
}

export async function logInElsewhere(email, options) {
  const query = `mutation($email: String!, $password: String!) { login${INPUT} }`;
  return (await call(query, { email, password }, options)).login.accessToken;
}

/** Forgets who is signed in; the server's sessions stay. */
export async function forgetCookies() {
  await context.clearCookies();
}

export const account = (query = '', server = urls.server) => `${server}/account${query}`;

/** What a visitor does on the page. */
export const on = (tab) => ({
  heading: (name) => tab.getByRole('heading', { level: 1, name, exact: true }),
  field: (name) => tab.getByRole('textbox', { name, exact: name !== 'Name' }),
  email: () => tab.getByLabel('Email', { exact: true }),
  password: () => tab.getByLabel('Password', { exact: true }),
  button: (name) => tab.getByRole('button', { name, exact: true }),
  status: (text) => tab.getByRole('status').filter({ hasText: text }),
  alert: (text) => tab.getByRole('alert').filter({ hasText: text }),
  async logIn(email, secret = password) {
    await this.email().fill(email);
    await this.password().fill(secret);
    await this.button('Log in').click();
  },
});

export const focused = (locator) => locator.evaluate((element) => element === document.activeElement);

export async function isFocused(locator, what) {
  await locator.waitFor();
  await locator.page().waitForFunction((element) => element === document.activeElement, await locator.elementHandle()).catch(() => {
    throw new Error(`the focus is not on ${what}`);
  });
}

/** Counts what is sent from now on. */
export function countRequests(tab, word) {
  const count = { sent: 0 };
  tab.on('request', (request) => {
    if (new RegExp(`\\b${word}\\b`).test(request.postData() ?? '')) count.sent++;
  });
  return count;
}

/** Holds the requests with a word in them until they are let go; `sent` counts them. */
export async function hold(tab, word) {
  let free;
  const freed = new Promise((resolve) => (free = resolve));
  await tab.route('**/graphql', async (route) => {
    if (new RegExp(`\\b${word}\\b`).test(route.request().postData() ?? '')) {
      release.sent++;
      await freed;
    }
    await route.continue().catch(() => {});
  });
  const release = async () => {
    free();
    await tab.unroute('**/graphql');
  };
  release.sent = 0;
  return release;
}

/** Answers the requests with a word in them in the server's place. */
export async function answer(tab, word, error) {
  await tab.route('**/graphql', async (route) => {
    if (!new RegExp(`\\b${word}\\b`).test(route.request().postData() ?? '')) return route.fallback();
    return route.fulfill({ json: { data: null, errors: [error] } });
  });
  return () => tab.unroute('**/graphql');
}

// Those that axe-core always looks at have each theme and each size once: what it finds depends on
// the two together only where a colour is meant for one size.
const LOOKS = [
  { colorScheme: 'light', width: 1280, height: 800, isAlways: true },
  { colorScheme: 'dark', width: 1280, height: 800 },
  { colorScheme: 'light', width: 360, height: 740 },
  { colorScheme: 'dark', width: 360, height: 740, isAlways: true },
];

export async function picture(tab, name) {
  if (wantsAll) await tab.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

/**
 * Looks at a state in both themes, wide and narrow: axe-core finds nothing, nothing has to be
 * scrolled to the side, and there is a picture if they are wanted.
 */
export async function look(tab, name) {
  for (const { colorScheme, width, height, isAlways } of LOOKS) {
    await tab.emulateMedia({ colorScheme });
    await tab.setViewportSize({ width, height });
    const at = `${name}, ${colorScheme}, ${width} px`;
    const excess = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(excess <= 0, `${at}: ${excess} pixels too wide`);
    if (isAlways || wantsAll) await passesAxe(tab, at);
    await picture(tab, `${name}-${colorScheme}-${width}`);
  }
  await tab.emulateMedia({ colorScheme: 'light' });
  await tab.setViewportSize({ width: 1280, height: 800 });
}

async function passesAxe(tab, at) {
  const { violations } = await tab.evaluate(() => globalThis.axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
  assert.deepEqual(found, [], `axe-core: ${at}`);
}

/** Looks where a password or token could outlive its use. */
async function keepsNoSecrets(tab) {
  const kept = await tab.evaluate(() => [
    document.documentElement.outerHTML,
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, history.state, location.href, name]),
    document.cookie,
  ]);
  for (const secret of secrets) {
    assert(!kept.some((text) => text.includes(secret)), `a secret in ${kept.find((text) => text.includes(secret))}`);
  }
  assert.equal(kept[2], '', 'a cookie that scripts see');
}

let number = 0;

/** Runs one step in a tab of its own. */
export async function step(name, act) {
  number++;
  const tab = await openTab();
  try {
    await act(tab, on(tab));
    if (tab.url().startsWith('http')) await keepsNoSecrets(tab);
    assert.deepEqual(wrong, [], 'console errors, CSP violations, dialogs');
    console.log(`ok ${number} ${name}`);
  } catch (error) {
    const file = join(shots, 'failed.png');
    await tab.screenshot({ path: file, fullPage: true }).catch(() => {});
    console.error(`FAILED ${number} ${name}\n${error.stack}\n${wrong.join('\n')}\nsee ${file}`);
    await close();
    process.exit(1);
  }
  await tab.close();
}
