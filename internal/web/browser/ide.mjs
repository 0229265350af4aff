// Drives the GraphQL IDE of a running server in Chromium, as a newcomer would:
//
//	npm ci && node ide.mjs http://localhost:8080 /tmp/screenshots
//
// CHROMIUM names the browser (default /usr/bin/chromium). With ACCESS_TTL_SECONDS, the
// server's lifetime of access tokens, it also waits for one to expire.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { openChromium } from './lib/chromium.mjs';

const [url, screenshots] = process.argv.slice(2);
if (!screenshots) {
  console.error('usage: node ide.mjs http://localhost:PORT SCREENSHOT_DIR');
  process.exit(2);
}
await mkdir(screenshots, { recursive: true });

const email = `ada-${randomUUID().slice(0, 8)}@example.com`;
const password = `paper lantern ${randomUUID()}`;
const secrets = [password];
const ME = '{ me { email } }';

const { context: browser, close } = await openChromium();
const page = browser.pages()[0] ?? (await browser.newPage());
page.setDefaultTimeout(15_000);

const wrong = []; // what must never happen, collected on the way
const sent = []; // the bodies of all GraphQL requests
page.on('console', (message) => {
  // Chromium reports CSP violations as errors.
  if (message.type() === 'error') wrong.push(`console: ${message.text()}`);
});
page.on('pageerror', (error) => wrong.push(`exception: ${error.message}`));
page.on('request', (request) => {
  const { protocol, hostname, pathname } = new URL(request.url());
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  if (protocol !== 'data:' && !local) wrong.push(`request to ${request.url()}`);
  if (pathname === '/graphql') sent.push(request.postData() ?? '');
});

const status = page.getByRole('status');

async function type(label, text) {
  const editor = page.locator(`[aria-label="${label}"] .CodeMirror:visible`);
  await editor.click();
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.insertText(text);
  return editor.elementHandle();
}

// run executes a document typed by hand and returns what the response pane shows.
async function run(query, variables = {}) {
  const editor = await type('Query Editor', query);
  // GraphiQL parses a moment after the last key; until then its button offers the
  // operations of the text before.
  await page.waitForFunction(
    ([element, text]) => element.CodeMirror.documentAST?.loc.source.body === text,
    [editor, query],
  );
  await type('Variables', JSON.stringify(variables));
  await page.getByRole('button', { name: 'Execute query' }).click();
  return shownAnswer();
}

async function choose(operation) {
  await page.getByRole('button', { name: 'Execute query' }).click();
  await page.getByRole('menuitem', { name: operation, exact: true }).click();
}

async function isWithin(locator, width, height, name) {
  await locator.scrollIntoViewIfNeeded();
  const box = await locator.boundingBox();
  const within = box && box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
  assert(within, `${name} is at ${JSON.stringify(box)} of ${width} by ${height}`);
}

// GraphiQL empties the pane at the click, so what it shows is the new answer.
async function shownAnswer() {
  const pane = await page.locator('.result-window .CodeMirror').elementHandle();
  const answer = await page.waitForFunction((element) => {
    try {
      return JSON.parse(element.CodeMirror.getValue());
    } catch {
      return null; // nothing there yet
    }
  }, pane);
  return answer.jsonValue();
}

async function statusIs(text) {
  await status.filter({ hasText: new RegExp(`^${text}$`) }).waitFor();
}

async function runsAsAda() {
  assert.deepEqual(await run(ME), { data: { me: { email } } });
  await statusIs(`Signed in as ${email}`);
}

async function load() {
  const introspected = page.waitForResponse(
    (response) => response.request().postData()?.includes('IntrospectionQuery') ?? false,
  );
  await page.goto(new URL('/', url).href);
  await introspected;
}

const refreshes = () => sent.filter((body) => /\brefresh\b/.test(body)).length;

let number = 0;

// keepsNoSecrets looks where a password or token could outlive the page.
async function keepsNoSecrets() {
  const kept = await page.evaluate(() => ({
    keys: [...Object.keys(localStorage), ...Object.keys(sessionStorage)],
    text: JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href]),
    cookie: document.cookie,
  }));
  for (const key of kept.keys) assert.match(key, /^graphiql:(theme|visiblePlugin|\w+Flex)$/);
  for (const secret of secrets) assert(!kept.text.includes(secret), kept.text);
  assert.equal(kept.cookie, '', 'a cookie that JavaScript sees');
}

async function step(name, act) {
  number++;
  try {
    await act();
    await keepsNoSecrets();
    assert.deepEqual(wrong, [], 'console errors, CSP violations or foreign requests');
    console.log(`ok ${number} ${name}`);
  } catch (error) {
    const file = join(screenshots, 'failed.png');
    await page.screenshot({ path: file }).catch(() => {});
    console.error(`FAILED ${number} ${name}\n${error.message}\n${wrong.join('\n')}\nsee ${file}`);
    await close();
    process.exit(1);
  }
}

await step('opens anonymously, with the welcome text', async () => {
  await load();
  await statusIs('Not signed in');
  await page.getByText('# Welcome to Latchkey.').waitFor();
  assert.equal(refreshes(), 1, 'one silent refresh');
  await page.getByText('Latchkey', { exact: true }).waitFor();
  await page.getByText('Press the play button and choose SignUp.').waitFor();
  const editor = await page.locator('[aria-label="Query Editor"] .CodeMirror').elementHandle();
  const { height, clientHeight } = await editor.evaluate((element) => element.CodeMirror.getScrollInfo());
  assert(height <= clientHeight, `the welcome text, of ${height} pixels, has ${clientHeight}`);
  await page.screenshot({ path: join(screenshots, 'light.png') });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: join(screenshots, 'dark.png') });
  await page.emulateMedia({ colorScheme: 'light' });
});

await step('refuses the Me of the welcome text to an anonymous visitor', async () => {
  await choose('Me');
  const answer = await shownAnswer();
  assert.equal(answer.data.me, null);
  assert.equal(answer.errors[0].extensions.code, 'UNAUTHENTICATED');
  await page.getByText('Error: UNAUTHENTICATED', { exact: true }).waitFor();
  assert.equal(await page.locator('.hint').count(), 0, 'the hint, beside an answer');
});

await step('fits phones, tablets and desktops', async () => {
  for (const [width, height] of [[360, 740], [768, 1024], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    for (const docs of [false, true]) {
      if (docs) await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
      for (const selector of ['.graphiql-query-editor .CodeMirror', '.graphiql-editor-tool .CodeMirror', '.result-window']) {
        const pane = page.locator(selector).first();
        await isWithin(pane, width, height, selector);
        const box = await pane.boundingBox();
        assert(box.width >= 150 && box.height >= 90, `${selector} is ${box.width} by ${box.height} at ${width}`);
        const seen = await status.boundingBox();
        assert(seen.y >= 0 && seen.y + seen.height <= height, 'the status scrolls away');
      }
      await isWithin(status, width, height, 'the status');
      await isWithin(page.locator('.graphiql-toolbar'), width, height, 'the toolbar');
      await page.waitForFunction(() =>
        [...document.querySelectorAll('.CodeMirror')].every((element) => {
          const { width, clientWidth } = element.CodeMirror.getScrollInfo();
          return width <= clientWidth;
        }),
      );
      if (docs) await page.getByRole('button', { name: 'Hide Documentation Explorer' }).click();
    }
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(screenshots, `${width}-${colorScheme}.png`) });
    }
    await page.emulateMedia({ colorScheme: 'light' });
  }
  await page.setViewportSize({ width: 1280, height: 800 });
});

await step('signs up with the welcome text, showing the user and no error', async () => {
  await type('Variables', JSON.stringify({ input: { email: `welcome-${email}`, password } }));
  await choose('SignUp');
  const answer = await shownAnswer();
  assert.equal(answer.data?.signUp.user.email, `welcome-${email}`, JSON.stringify(answer));
  await statusIs(`Signed in as welcome-${email}`);
  assert.equal(await page.locator('.problems').count(), 0, 'an error, beside a success');
  await choose('Logout');
  await statusIs('Not signed in');
});

await step('signs up', async () => {
  const answer = await run(
    'mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken user { email } } }',
    { input: { email, password } },
  );
  assert.equal(answer.data?.signUp.user.email, email, JSON.stringify(answer));
  secrets.push(answer.data.signUp.accessToken);
  await statusIs(`Signed in as ${email}`);
  await page.screenshot({ path: join(screenshots, 'signed-in-light.png') });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: join(screenshots, 'signed-in-dark.png') });
  await page.emulateMedia({ colorScheme: 'light' });
});

await step('sends me signed in', runsAsAda);

// the browser keeps the cookie and sends it back.
await step('stays signed in through a reload', async () => {
  await load();
  await statusIs(`Signed in as ${email}`);
  await runsAsAda();
});

if (process.env.ACCESS_TTL_SECONDS) {
  await step('renews an expired access token, with one refresh', async () => {
    await sleep((Number(process.env.ACCESS_TTL_SECONDS) + 1) * 1000);
    const before = refreshes();
    await runsAsAda();
    assert.equal(refreshes() - before, 1);
  });
}

await step('lets a typed Authorization header win', async () => {
  await page.getByRole('button', { name: 'Headers' }).click();
  await type('Headers', '{"authorization": "Bearer mine"}');
  await page.getByRole('button', { name: 'Variables' }).click();
  const before = refreshes();
  const answer = await run(ME);
  assert.equal(answer.errors[0].extensions.reason, 'TOKEN_INVALID');
  assert.equal(refreshes(), before, 'no refresh for the token of the user');
  await page.getByRole('button', { name: 'Headers' }).click();
  await type('Headers', '{}');
  await page.getByRole('button', { name: 'Variables' }).click();
});

await step('logs out', async () => {
  assert.deepEqual(await run('mutation { bye: logout }'), { data: { bye: true } });
  await statusIs('Not signed in');
  const before = refreshes();
  const answer = await run(ME);
  assert.equal(answer.errors[0].extensions.code, 'UNAUTHENTICATED');
  assert.equal(refreshes(), before, 'no refresh after logging out');
});

await step('logs in, also when the document asks for no token and uses aliases', async () => {
  const answer = await run(
    'mutation ($input: LoginInput!) { ...in } fragment in on Mutation { hi: login(input: $input) { expiresIn } }',
    { input: { email, password } },
  );
  assert(answer.data?.hi.expiresIn > 0, JSON.stringify(answer));
  await runsAsAda();
});

await step('explains a wrong password, without a refresh', async () => {
  const before = refreshes();
  const answer = await run('mutation ($input: LoginInput!) { login(input: $input) { accessToken } }', {
    input: { email, password: 'not the password' },
  });
  assert.equal(answer.errors[0].extensions.code, 'INVALID_CREDENTIALS');
  assert.equal(refreshes(), before);
});

await step('completes and explains what is typed', async () => {
  await type('Query Editor', '');
  await page.keyboard.type('{ m');
  await page.locator('.CodeMirror-hint').filter({ hasText: /^me/ }).click();
  await type('Query Editor', '{ me { email nonsense } }');
  await page.locator('.CodeMirror-lint-mark-error').first().hover();
  await page.getByText('Cannot query field "nonsense" on type "User".').waitFor();
});

await step('shows the documentation', async () => {
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
  await page.locator('.graphiql-doc-explorer').getByText('Query', { exact: true }).click();
  await page.locator('.graphiql-doc-explorer').getByText('me', { exact: true }).waitFor();
  await page.screenshot({ path: join(screenshots, 'docs.png') });
  await page.getByLabel('Search', { exact: false }).first().click();
  await page.keyboard.insertText('login');
  await page.getByRole('option', { name: 'Mutation.login' }).click();
  await page.getByText('Signs in with email and password.').waitFor();
});

await step('opens history, keyboard help and settings without breaking the policy', async () => {
  await page.getByRole('button', { name: 'Show History' }).click();
  await page.getByRole('button', { name: 'Open short keys dialog' }).click();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Open settings dialog' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Dark' }).click();
  await page.screenshot({ path: join(screenshots, 'settings-dark.png') });
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  const kept = await page.evaluate(() => localStorage.getItem('graphiql:theme'));
  assert.equal(kept, 'dark');
});

await close();
