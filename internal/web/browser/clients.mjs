// What stock clients make of a running server's streams. auth.js is the README's own code:
//
//	npm ci && node clients.mjs http://localhost:8080 DIRECTORY
//
// DIRECTORY holds auth.js and a node_modules. Access tokens should live for a few
// seconds, so that a stream outlives the one that opened it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { Client, fetchExchange } from '@urql/core';
import { createClient } from 'graphql-sse';

import { createAuthClient, watchSession } from '../client/dist/auth-client.js';

const [server, directory] = process.argv.slice(2);
const EVENTS = 'subscription { sessionEvents { kind } }';
const email = `ada-${randomUUID()}@example.com`;
const password = 'paper lantern quay';

// A browser keeps the cookie; Node has to be taught. The README's page is of the address in
// its code, this server is another one.
const network = globalThis.fetch;
let cookie = '';
let refreshes = 0;
globalThis.fetch = async (url, init = {}) => {
  if (String(init.body).includes('mutation { refresh')) refreshes++;
  const headers = new Headers(init.headers);
  if (cookie) headers.set('cookie', cookie);
  const answer = await network(String(url).replace('http://localhost:8080', server), { ...init, headers });
  const isRefresh = (line) => line.startsWith('refresh=');
  for (const line of answer.headers.getSetCookie().filter(isRefresh)) cookie = line.split(';')[0];
  return answer;
};

async function call(query, token) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await network(`${server}/graphql`, { method: 'POST', headers, body: JSON.stringify({ query }) });
  return answer.json();
}

// signIn is another device of the same user.
async function signIn() {
  const { data } = await call(
    `mutation { login(input: {email: "${email}", password: "${password}", delivery: BODY}) { accessToken } }`,
  );
  return data.login.accessToken;
}

const within = (ms, what, promise) =>
  Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`not within ${ms} ms: ${what}`)), ms).unref()),
  ]);

async function collect(token, query = EVENTS) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const client = createClient({ url: `${server}/graphql`, headers, retryAttempts: 0 });
  const results = [];
  for await (const result of client.iterate({ query })) results.push(result);
  return results;
}

function urql(token) {
  const client = new Client({
    url: `${server}/graphql`,
    exchanges: [fetchExchange],
    fetchSubscriptions: true,
    preferGetMethod: true,
    fetchOptions: { headers: token ? { authorization: `Bearer ${token}` } : {} },
  });
  return new Promise((resolve) => client.subscription(EVENTS, {}).subscribe(resolve));
}

const steps = {
  async 'the README’s 25 lines: log in, renew an expired token once, log out'() {
    const { api, authFetch, login, logout, refresh } = await import(pathToFileURL(join(directory, 'auth.js')));
    const ask = async (field) => {
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query: `{ ${field} }` }) };
      return (await authFetch(api, init)).json();
    };
    await call(`mutation { signUp(input: {email: "${email}", password: "${password}", delivery: BODY}) { expiresIn } }`);
    await assert.rejects(refresh(), { code: 'SESSION_ENDED' });
    await assert.rejects(login(email, 'something else'), { code: 'INVALID_CREDENTIALS' });
    assert.equal((await ask('me { email }')).errors[0].extensions.code, 'UNAUTHENTICATED');
    await login(email, password);
    const before = refreshes;
    await within(20_000, 'an expiry', (async () => {
      while (refreshes === before) {
        assert.equal((await ask('me { email }')).data.me.email, email);
        await new Promise((later) => setTimeout(later, 100));
      }
    })());
    const fields = ['me { id }', 'me { name }', 'me { roles }', 'sessions { id }', 'me { email }'];
    await new Promise((later) => setTimeout(later, 6_000)); // longer than a token lives
    const answers = await Promise.all(fields.map(ask));
    assert.ok(answers.every(({ errors }) => !errors), JSON.stringify(answers));
    assert.equal(refreshes, before + 2);
    await logout();
    await assert.rejects(refresh(), { code: 'SESSION_ENDED' });
  },

  async 'latchkey-client: a session that was ended elsewhere is over here'() {
    let token = null;
    const storage = { load: () => token, save: (next) => void (token = next) };
    const auth = createAuthClient({ url: `${server}/graphql`, storage });
    await auth.login({ email, password });
    watchSession(auth);
    const first = await auth.getAccessToken();
    await within(20_000, 'a renewal', (async () => {
      while ((await auth.getAccessToken()) === first) await new Promise((later) => setTimeout(later, 50));
    })());
    const over = new Promise((resolve) => auth.onAuthChange(resolve));
    const ended = Date.now();
    await call('mutation { revokeAll }', await signIn());
    assert.equal(await within(15_000, 'the end', over), null);
    assert.equal(token, null);
    return `${Date.now() - ended} ms`;
  },

  async 'graphql-sse: an event and the end'() {
    const token = await signIn();
    const events = collect(token);
    await new Promise((later) => setTimeout(later, 300));
    await call('mutation { logout }', token);
    assert.deepEqual(await within(2_000, 'the event', events), [{ data: { sessionEvents: { kind: 'ENDED' } } }]);
  },

  async 'graphql-sse: an expired access token is an end without an event'() {
    assert.deepEqual(await within(15_000, 'the end', collect(await signIn())), []);
  },

  async 'graphql-sse: refusals keep their codes'() {
    for (const [query, code] of [[EVENTS, 'UNAUTHENTICATED'], ['subscription { other }', 'GRAPHQL_VALIDATION_FAILED']]) {
      const [result, ...more] = await collect(undefined, query);
      assert.equal(result.errors[0].extensions.code, code);
      assert.deepEqual(more, []);
    }
  },

  async 'urql: an event, and refusals with their codes'() {
    const token = await signIn();
    const event = urql(token);
    await new Promise((later) => setTimeout(later, 300));
    await call('mutation { logout }', token);
    assert.equal((await within(2_000, 'the event', event)).data.sessionEvents.kind, 'ENDED');
    const { error } = await within(2_000, 'a refusal', urql());
    assert.deepEqual(error.graphQLErrors[0].extensions, { code: 'UNAUTHENTICATED', reason: 'TOKEN_MISSING' });
  },
};

for (const [name, step] of Object.entries(steps)) {
  const began = Date.now();
  const note = await step();
  console.log(`ok  ${name} (${Date.now() - began} ms${note ? `; ${note}` : ''})`);
}
process.exit(0);
