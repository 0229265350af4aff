// Provokes what the README's table of troubles says, in Chromium, with the client that a running
// server serves:
//
//	npm ci && node trouble.mjs http://localhost:8080 5173
//
// The server has its default limits, and allows the pages of the port on localhost and 127.0.0.1.
// Each line of output is a trouble and what one sees of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { openChromium } from './lib/chromium.mjs';

const [api, port] = process.argv.slice(2);
const PASSWORD = 'paper lantern quay';
const html = `<!doctype html><title>loading</title><script type="module">
  import { createAuthClient } from '${api}/auth-client.js';
  window.auth = createAuthClient({ url: '${api}/graphql' });
  document.title = (await auth.ready).status;
</script>`;

// A page of one's own, and the same with a policy that does not know of the API.
async function servePages(port) {
  const server = createServer((request, response) => {
    const policy = `default-src 'self'; script-src 'unsafe-inline' ${api}`;
    response.setHeader('content-type', 'text/html; charset=utf-8');
    if (request.url === '/strict') response.setHeader('content-security-policy', policy);
    response.end(html);
  });
  server.listen(Number(port), '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}
const listed = await servePages(port);
const unlisted = await servePages(0);

const { context, close } = await openChromium();
context.setDefaultTimeout(20_000);

async function open(url) {
  const page = await context.newPage();
  page.said = [];
  page.on('console', (message) => page.said.push(message.text()));
  await page.goto(url);
  await page.waitForFunction(() => document.title !== 'loading');
  return page;
}

const state = (page) => page.evaluate(() => ({ status: auth.state.status, code: auth.state.error?.code, message: auth.state.error?.message }));
const signUp = (page, email) => page.evaluate((input) => auth.signUp(input).then(() => null, ({ code }) => code), { email, password: PASSWORD });
const cookies = async () => (await context.cookies(api)).filter(({ name }) => name === 'refresh');

function hears(page, words) {
  assert.ok(page.said.some((text) => text.includes(words)), `the console does not say ${words}: ${page.said.join('\n')}`);
  return words;
}

const troubles = {
  async 'the page is on 127.0.0.1, the API on localhost'() {
    const page = await open(`http://127.0.0.1:${listed}`);
    assert.equal(await signUp(page, 'ada@example.com'), null);
    await page.reload();
    await page.waitForFunction(() => document.title === 'signedOut');
    assert.deepEqual(await cookies(), []);
    return hears(page, 'The browser sent no refresh cookie, because the page and this server are different sites');
  },

  async 'the origin is not listed'() {
    const page = await open(`http://localhost:${unlisted}`);
    assert.deepEqual(await state(page), { status: 'unknown', code: 'NETWORK_ERROR', message: 'The server cannot be reached.' });
    return hears(page, 'blocked by CORS policy');
  },

  async 'the page’s own policy does not let it call the API'() {
    const page = await open(`http://localhost:${listed}/strict`);
    assert.equal((await state(page)).code, 'NETWORK_ERROR');
    return hears(page, 'Content Security Policy');
  },

  async 'a call without credentials keeps no cookie'() {
    const page = await open(`http://localhost:${listed}`);
    const login = (credentials) =>
      page.evaluate(
        async ([url, query, credentials]) => {
          const headers = { 'content-type': 'application/json' };
          const answer = await fetch(url, { method: 'POST', headers, credentials, body: JSON.stringify({ query }) });
          return (await answer.json()).data.login.expiresIn;
        },
        [`${api}/graphql`, `mutation { login(input: {email: "ada@example.com", password: "${PASSWORD}"}) { expiresIn } }`, credentials],
      );
    assert.ok(await login('same-origin'));
    assert.deepEqual(await cookies(), []);
    assert.ok(await login('include'));
    assert.equal((await cookies()).length, 1);
    return 'credentials: "include"';
  },

  async 'more streams than a browser has connections'() {
    const page = await open(`http://localhost:${listed}`);
    assert.equal((await state(page)).status, 'signedIn');
    const answered = await page.evaluate(async (url) => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${await auth.getAccessToken()}` };
      const ask = (query, options) => fetch(url, { method: 'POST', headers: { ...headers, ...options.headers }, body: JSON.stringify({ query }), signal: options.signal });
      const streams = Array.from({ length: 6 }, () => new AbortController());
      const accept = { accept: 'text/event-stream' };
      await Promise.all(streams.map(({ signal }) => ask('subscription { sessionEvents { kind } }', { headers: accept, signal })));
      const events = [];
      const query = ask('{ me { email } }', {}).then(() => events.push('answered'));
      await Promise.race([query, new Promise((later) => setTimeout(later, 2_000))]);
      events.push('a stream is closed');
      streams[0].abort();
      await query;
      return events;
    }, `${api}/graphql`);
    assert.deepEqual(answered, ['a stream is closed', 'answered']);
    return 'six connections';
  },

  async 'the limits are meant for users, not for trying out'() {
    const page = await open(`http://localhost:${listed}`);
    const codes = [];
    for (let i = 0; i < 6; i++) codes.push(await signUp(page, `ada-${i}@example.com`));
    assert.equal(codes.at(-1), 'RATE_LIMITED');
    return 'RATE_LIMITED';
  },

  async 'the address bar shows another origin than LATCHKEY_PUBLIC_URL'() {
    const page = await context.newPage();
    await page.goto(`${api.replace('localhost', 'auth.localhost')}/account`);
    return page.evaluate(async () => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch('/graphql', { method: 'POST', headers, body: '{"query":"{ __typename }"}' });
      const { errors } = await answer.json();
      if (answer.status !== 403) throw new Error(`status ${answer.status}`);
      return errors[0].message.split('. ')[0] + '.';
    });
  },
};

try {
  for (const [trouble, provoke] of Object.entries(troubles)) console.log(`${trouble}: ${await provoke()}`);
} finally {
  await close();
}
process.exit(0);
