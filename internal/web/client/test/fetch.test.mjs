import assert from 'node:assert/strict';
import { test } from 'node:test';

import { authFetch } from '../dist/auth-client.js';
import { ada, createWorld, grace, json, promise, refusal, settle, url } from './world.mjs';

const password = 'paper lantern quay';
const post = (query) => ({ method: 'POST', headers: { 'content-type': 'application/json', 'x-own': '1' }, body: JSON.stringify({ query }) });

async function signedIn() {
  const world = createWorld();
  world.server.user = ada;
  const auth = await world.open();
  const call = authFetch(auth);
  const read = async (query) => (await call(url, post(query))).json();
  return { ...world, auth, call, read };
}

test('a request has the token, and what the caller gave it', async () => {
  const { server, read } = await signedIn();
  assert.deepEqual(await read('{ notes }'), { data: { notes: 'for token-1-of-1' } });
  const [, , authorization, init] = server.log.at(-1);
  assert.equal(authorization, 'Bearer token-1-of-1');
  assert.equal(init.headers.get('x-own'), '1');
  assert.equal(init.credentials, 'include');
});

test('cookies go to no other server, and to this one unless the caller wants none', async () => {
  const { server, call } = await signedIn();
  await call(url, { ...post('{ notes }'), credentials: 'omit' });
  assert.equal(server.log.at(-1)[3].credentials, 'omit');
  await call('https://other.example.com/things');
  assert.equal(server.log.at(-1)[3].credentials, undefined);
});

test('requests wait for the first refresh, and of nobody they go as they are', async () => {
  const { open, server } = createWorld();
  const auth = await open();
  const answer = await authFetch(auth)(url, post('{ notes }'));
  assert.equal((await answer.json()).errors[0].extensions.code, 'UNAUTHENTICATED');
  assert.equal(server.log.at(-1)[2], null);
  assert.equal(server.count('refresh'), 1, 'there is nothing to renew');
});

test('five requests with an expired token: one refresh, five answers', async () => {
  const { server, pass, read } = await signedIn();
  await pass(11_000);
  const answers = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((field) => read(`{ ${field} }`)));
  assert.ok(answers.every(({ errors }) => !errors));
  assert.equal(server.count('refresh'), 2);
});

test('five refusals: one refresh, five answers, also when some of them come late', async () => {
  const { server, read } = await signedIn();
  server.valid.clear();
  const late = promise();
  server.faults.push(undefined, undefined, undefined, undefined, late);
  const answers = ['a', 'b', 'c', 'd', 'e'].map((field) => read(`{ ${field} }`));
  await settle();
  assert.equal(server.count('refresh'), 2);
  await late.keep(json({ data: { e: null }, ...refusal('UNAUTHENTICATED') }));
  for (const answer of await Promise.all(answers)) assert.equal(answer.errors, undefined);
  assert.equal(server.count('refresh'), 2);
});

test('a token that is refused twice is not tried a third time', async () => {
  const { server, read } = await signedIn();
  const no = () => json({ data: { notes: null }, ...refusal('UNAUTHENTICATED') });
  server.faults.push(no(), undefined, no());
  assert.equal((await read('{ notes }')).errors.length, 1);
  assert.equal(server.log.length, 4);
});

test('other errors, also beside data, renew nothing', async () => {
  const { server, read } = await signedIn();
  server.faults.push(json({ data: { notes: null }, ...refusal('FORBIDDEN') }), json({ data: { notes: 'UNAUTHENTICATED' } }));
  assert.equal((await read('{ notes }')).errors[0].extensions.code, 'FORBIDDEN');
  assert.equal((await read('{ notes }')).data.notes, 'UNAUTHENTICATED');
  server.faults.push(json({ data: { a: 'UNAUTHENTICATED', b: null }, ...refusal('FORBIDDEN') }));
  assert.equal((await read('{ a b }')).errors[0].extensions.code, 'FORBIDDEN');
  assert.equal(server.count('refresh'), 1);
});

test('a mutation that has half run is not run again, one that was refused as a whole is', async () => {
  const { server, call, read } = await signedIn();
  server.faults.push(json({ data: { paid: true, noted: null }, ...refusal('UNAUTHENTICATED') }));
  assert.equal((await read('mutation { paid noted }')).data.paid, true);
  assert.equal(server.count('paid'), 1);
  server.valid.clear();
  assert.match((await read('mutation { paid }')).data.paid, /^for token/);
  server.valid.clear();
  server.faults.push(json({ data: { open: 1, notes: null }, ...refusal('UNAUTHENTICATED') }));
  assert.match((await read('{ open notes }')).data.open, /^for token/, 'a query may run twice');
  server.valid.clear();
  server.faults.push(json({ data: { open: 1, notes: null }, ...refusal('UNAUTHENTICATED') }), undefined, json({ data: { open: 2 } }));
  assert.equal((await (await call(`${url}?query={open notes}`)).json()).data.open, 2, 'and what comes by GET is one');
});

test('a request of one user is never repeated as another', async () => {
  const { server, auth, read } = await signedIn();
  const late = promise();
  server.faults.push(late);
  const answer = read('mutation { pay }');
  await settle();
  await auth.login({ email: grace.email, password });
  await late.keep(json({ data: { pay: null }, ...refusal('UNAUTHENTICATED') }));
  assert.equal((await answer).errors.length, 1);
  assert.equal(server.count('pay'), 1);
  const later = promise();
  server.faults.push(later);
  const other = read('mutation { pay }');
  await settle();
  await auth.logout();
  await later.keep(json({ data: { pay: null }, ...refusal('UNAUTHENTICATED') }));
  assert.equal((await other).errors.length, 1);
  assert.equal(server.count('pay'), 2);
  assert.equal(server.count('refresh'), 1);
});

test('nor is it sent as another, whom the renewal of an expired token finds', async () => {
  const { server, auth, pass, read } = await signedIn();
  await pass(11_000);
  server.user = grace; // who has logged in elsewhere on the site
  assert.equal((await read('mutation { pay }')).errors[0].extensions.code, 'UNAUTHENTICATED');
  assert.deepEqual(server.log.at(-1).slice(0, 3), ['pay', {}, null]);
  assert.equal(auth.state.user.id, grace.id);
  await pass(11_000);
  server.user = ada;
  await assert.rejects(auth.revokeAll(), { code: 'SESSION_ENDED' });
  assert.equal(server.count('refresh'), 3);
});

test('nor by a page of hers that comes back from a freeze', async () => {
  const { server, tell, read, auth } = await signedIn();
  await tell('pagehide', { persisted: true });
  server.grant(grace, true);
  await tell('pageshow', { persisted: true });
  const answer = read('mutation { pay }');
  assert.equal((await answer).errors?.length, undefined, 'whoever asks when it is known again, asks as Grace');
  assert.equal(auth.state.user.id, grace.id);
  await auth.login({ email: ada.email, password });
  await tell('pagehide', { persisted: true });
  server.grant(grace, true);
  const [thawed] = [read('mutation { pay }')]; // before pageshow has been answered
  await tell('pageshow', { persisted: true });
  assert.equal((await thawed).errors[0].extensions.code, 'UNAUTHENTICATED');
});

test('a token that cannot be renewed is an error with a code, never a refusal', async () => {
  const { server, pass, read, auth } = await signedIn();
  await pass(11_000);
  server.faults.push(json(refusal('OVERLOADED', { retryAfter: 5 })));
  await assert.rejects(read('{ notes }'), { code: 'OVERLOADED', retryAfter: 5 });
  assert.equal(auth.state.status, 'signedIn');
  assert.equal(server.count('notes'), 0);
});

test('a 401 of another service is a refusal too', async () => {
  const { server, call } = await signedIn();
  server.faults.push(new Response('no', { status: 401 }), undefined, new Response('yes'));
  assert.equal(await (await call('https://other.example.com/things')).text(), 'yes');
  assert.equal(server.count('refresh'), 2);
});

test('a stream is not read', async () => {
  const { server, call } = await signedIn();
  const endless = new ReadableStream({ start: (c) => c.enqueue(new TextEncoder().encode('UNAUTHENTICATED')) });
  server.faults.push(new Response(endless, { headers: { 'content-type': 'text/event-stream' } }));
  const answer = await call(url, post('subscription { events }'));
  assert.equal(answer.bodyUsed, false);
  assert.equal(server.count('refresh'), 1);
});

for (const [what, request] of Object.entries({
  'a Request': () => [new Request(url, post('mutation { paid noted }'))],
  'an upload': () => [url, { method: 'POST', body: new FormData() }],
  'a persisted document': () => [url, { method: 'POST', body: '{"extensions":{"persistedQuery":{}}}' }],
})) {
  test(`${what} that may be a mutation and has half run is not run again`, async () => {
    const { server, call } = await signedIn();
    const asked = server.log.length;
    server.faults.push(json({ data: { paid: true, noted: null }, ...refusal('UNAUTHENTICATED') }));
    const answer = await call(...request());
    assert.equal((await answer.json()).data.paid, true);
    assert.equal(server.log.length, asked + 1);
  });
}

test('a Request can be repeated as well, and keeps its headers', async () => {
  const { server, call } = await signedIn();
  server.valid.clear();
  server.faults.push(json({ data: null, ...refusal('UNAUTHENTICATED') }));
  await call(new Request(url, post('{ notes }')));
  assert.equal(server.count('notes'), 2, 'its body as well');
  const { headers } = server.log.at(-1)[3];
  assert.equal(headers.get('x-own'), '1');
  assert.equal(headers.get('authorization'), 'Bearer token-2-of-1');
});
