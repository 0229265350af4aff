import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { createSession } from './session.js';
import { createStorage } from './storage.js';

const REFUSED = { data: { me: null }, errors: [{ extensions: { code: 'UNAUTHENTICATED', reason: 'TOKEN_EXPIRED' } }] };
const ENDED = { data: null, errors: [{ extensions: { code: 'SESSION_ENDED' } }] };
const AWAY = { data: null, errors: [{ extensions: { code: 'INTERNAL' } }] };
const ADA = { data: { me: { email: 'ada@example.com' } } };
const renewed = (accessToken) => ({ data: { refresh: { accessToken, user: { email: 'ada@example.com' } } } });

// A server answers each request with what `answer` says; it records what it was sent.
function server(answer) {
  const sent = [];
  mock.method(globalThis, 'fetch', async (_url, { headers, body }) => {
    const request = { ...JSON.parse(body), authorization: headers.get('authorization') };
    sent.push(request);
    const result = await answer(request);
    return new Response(typeof result === 'string' ? result : JSON.stringify(result));
  });
  return { sent, refreshes: () => sent.filter(({ query }) => query.includes('refresh')).length };
}

const isRefresh = ({ query }) => query.startsWith('mutation { refresh');

async function signedIn(answer) {
  server(() => renewed('first'));
  const session = createSession('/graphql');
  await session.resume();
  return { session, ...server(answer) };
}

test('five requests on an expired token cost one refresh and all are answered', async () => {
  const { session, refreshes } = await signedIn((request) => {
    if (isRefresh(request)) return renewed('second');
    return request.authorization === 'Bearer second' ? ADA : REFUSED;
  });
  const answers = await Promise.all(Array.from({ length: 5 }, () => session.fetcher({ query: '{ me { email } }' })));
  assert.deepEqual(answers, Array(5).fill(ADA));
  assert.equal(refreshes(), 1);
});

test('a refusal that arrives after the refresh starts no second one', async () => {
  let refuse;
  const late = new Promise((resolve) => (refuse = resolve));
  const { session, refreshes } = await signedIn(async (request) => {
    if (isRefresh(request)) return renewed('second');
    if (request.authorization === 'Bearer second') return ADA;
    if (request.query.includes('late')) await late;
    return REFUSED;
  });
  const slow = session.fetcher({ query: 'query late { me { email } }' });
  await session.fetcher({ query: '{ me { email } }' });
  refuse();
  assert.deepEqual(await slow, ADA);
  assert.equal(refreshes(), 1);
});

test('an ended session shows the first answer and asks for no more tokens', async () => {
  const { session, refreshes } = await signedIn((request) => (isRefresh(request) ? ENDED : REFUSED));
  assert.deepEqual(await session.fetcher({ query: '{ me { email } }' }), REFUSED);
  assert.equal(session.state().signedIn, false);
  await session.fetcher({ query: '{ me { email } }' });
  assert.equal(refreshes(), 1);
});

for (const [reason, failure] of [
  ['an internal error', () => AWAY],
  ['a broken connection', () => Promise.reject(new TypeError('Failed to fetch'))],
  ['a proxy that answers HTML', () => '<h1>Bad gateway</h1>'],
]) {
  test(`${reason} at the refresh does not sign out`, async () => {
    let healthy = false;
    const { session } = await signedIn((request) => {
      if (isRefresh(request)) return healthy ? renewed('second') : failure();
      return request.authorization === 'Bearer second' ? ADA : REFUSED;
    });
    assert.deepEqual(await session.fetcher({ query: '{ me { email } }' }), REFUSED);
    assert.equal(session.state().signedIn, true);
    healthy = true;
    assert.deepEqual(await session.fetcher({ query: '{ me { email } }' }), ADA);
  });
}

test('a mutation with several fields is not repeated, for the first may have succeeded', async () => {
  const query = 'mutation { first: revokeAll second: revokeAll }';
  const { session, sent } = await signedIn((request) => (isRefresh(request) ? renewed('second') : REFUSED));
  await session.fetcher({ query });
  assert.equal(sent.filter((request) => request.query === query).length, 1);
});

test('only the operation that ran counts, not its neighbours in the document', async () => {
  const { session } = await signedIn(() => ADA);
  await session.fetcher({ query: 'query Me { me { email } } mutation Out { me: logout }', operationName: 'Me' });
  assert.equal(session.state().signedIn, true);
});

test('a login without user tells the status line all the same', async () => {
  const { session } = await signedIn(({ query }) =>
    query.includes('login') ? { data: { login: { accessToken: 'second' } } } : { data: { me: { email: 'bob@example.com' } } },
  );
  const told = new Promise((resolve) => session.subscribe(() => session.state().email && resolve()));
  await session.fetcher({ query: 'mutation { login(input: {}) { accessToken } }' });
  await told;
  assert.deepEqual(session.state(), { signedIn: true, email: 'bob@example.com' });
});

test('a login without token never falls back to the token of the user before', async () => {
  const { session, sent } = await signedIn((request) => {
    if (isRefresh(request)) return AWAY;
    return request.query.includes('login') ? { data: { login: { expiresIn: 600 } } } : REFUSED;
  });
  await session.fetcher({ query: 'mutation { login(input: {}) { expiresIn } }' });
  await session.fetcher({ query: '{ me { email } }' });
  assert.equal(sent.at(2).authorization, null);
});

test('a refresh by hand that finds the session over signs out', async () => {
  const { session } = await signedIn(() => ENDED);
  assert.deepEqual(await session.fetcher({ query: 'mutation { refresh { expiresIn } }' }), ENDED);
  assert.equal(session.state().signedIn, false);
});

test('an Authorization header typed by hand wins, in any case, and is left alone', async () => {
  const { session, sent } = await signedIn(() => REFUSED);
  assert.deepEqual(await session.fetcher({ query: '{ me { email } }' }, { headers: { AUTHORIZATION: 'Bearer mine' } }), REFUSED);
  assert.deepEqual(sent.map(({ authorization }) => authorization), ['Bearer mine']);
});

test('a document the parser refuses is for the server to explain', async () => {
  const { session } = await signedIn(() => AWAY);
  for (const query of ['{ me', '{ ...a } fragment a on Query { ...a }', 'fragment a on Query { me }']) {
    assert.deepEqual(await session.fetcher({ query }), AWAY);
  }
});

test('storage keeps preferences on disk, and what was typed only in memory', () => {
  const disk = new Map();
  const storage = createStorage({
    getItem: (key) => disk.get(key) ?? null,
    setItem: (key, value) => disk.set(key, value),
    removeItem: (key) => disk.delete(key),
  });
  for (const key of ['theme', 'query', 'variables', 'headers', 'tabState', 'queries', 'favorites', 'brandNew']) {
    storage.setItem(`graphiql:${key}`, 'x');
    assert.equal(storage.getItem(`graphiql:${key}`), 'x');
  }
  assert.deepEqual([...disk.keys()], ['graphiql:theme']);
  storage.clear();
  assert.equal(storage.getItem('graphiql:theme'), null);
  assert.equal(storage.getItem('graphiql:query'), null);
});
