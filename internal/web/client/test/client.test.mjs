import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AuthError } from '../dist/auth-client.js';
import { ada, createWorld, grace, json, promise, refusal, settle, url } from './world.mjs';

const password = 'paper lantern quay';

test('a page finds its session by one silent refresh', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const answer = promise();
  server.faults.push(answer);
  const auth = await open();
  assert.deepEqual(auth.state, { status: 'unknown', user: null, error: null });
  await answer.keep();
  assert.deepEqual(await auth.ready, { status: 'signedIn', user: ada, error: null });
  assert.equal(auth.state, auth.state, 'the same object until something changes');
  const [[field, , authorization, init]] = server.log;
  assert.equal(field, 'refresh');
  assert.equal(authorization, null);
  assert.equal(init.credentials, 'include');
  assert.equal(init.keepalive, true);
  assert.equal(server.log.length, 1);
});

test('a page without a session asks once and no more', async () => {
  const { open, server } = createWorld();
  const auth = await open();
  assert.equal((await auth.ready).status, 'signedOut');
  assert.equal(await auth.getAccessToken(), null);
  assert.equal(server.log.length, 1);
});

test('a page of another site, which gets no cookie, is told why', async (t) => {
  const { open, server } = createWorld();
  const warned = t.mock.method(console, 'warn', () => {});
  server.faults.push(json(refusal('SESSION_ENDED', { reason: 'CROSS_SITE' })), json(refusal('SESSION_ENDED', { reason: 'TOKEN_MISSING' })));
  await open();
  assert.equal((await open()).state.status, 'signedOut');
  assert.deepEqual(warned.mock.calls.map((call) => call.arguments), [['refused: SESSION_ENDED']]);
});

test('a server that is away is not an end: the page may ask again', async () => {
  const { open, server, tell } = createWorld();
  server.user = ada;
  server.faults.push(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  const auth = await open();
  const state = await auth.ready;
  assert.equal(state.status, 'unknown');
  assert.equal(state.error.code, 'NETWORK_ERROR');
  assert.ok(state.error instanceof AuthError);
  await tell('online');
  assert.equal(auth.state.status, 'signedIn');
});

test('a token is renewed when its life is over, counted from before the question', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const answer = promise();
  server.faults.push(answer);
  const auth = await open();
  await pass(4_000); // the answer is long on its way
  await answer.keep();
  const first = await auth.getAccessToken();
  await pass(5_900);
  assert.equal(await auth.getAccessToken(), first);
  await pass(200);
  assert.notEqual(await auth.getAccessToken(), first);
  assert.equal(server.count('refresh'), 2);
});

test('whoever needs a token at the same time gets the same one', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const tokens = await Promise.all([1, 2, 3, 4, 5].map(() => auth.getAccessToken()));
  assert.equal(new Set(tokens).size, 1);
  assert.equal(server.count('refresh'), 2);
});

for (const [what, fault] of Object.entries({
  'a network error': () => new TypeError('Failed to fetch'),
  'a page of a proxy': () => new Response('<h1>503</h1>', { status: 503 }),
  'a captive portal': () => new Response('<h1>Welcome</h1>'),
  'an answer of something else': () => json({}),
  'INTERNAL': () => json(refusal('INTERNAL')),
})) {
  test(`${what} ends no session`, async () => {
    const { open, server, pass } = createWorld();
    server.user = ada;
    const auth = await open();
    await pass(11_000);
    const { state } = auth;
    server.faults.push(fault());
    if (what !== 'INTERNAL') server.faults.push(fault()); // it is asked for twice
    await assert.rejects(auth.getAccessToken(), (error) => error.code === (what === 'INTERNAL' ? what : 'NETWORK_ERROR'));
    assert.equal(auth.state, state);
    assert.match(await auth.getAccessToken(), /^token-\d-of-1/);
  });
}

test('a lost answer is asked for again at once, before the old cookie is void', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  server.faults.push(new TypeError('Failed to fetch'));
  assert.match(await auth.getAccessToken(), /^token-2/);
  assert.equal(server.count('refresh'), 3);
});

test('a renewal that the network has kept from us is made up for when it is back', async () => {
  const { open, server, pass, tell } = createWorld();
  server.user = ada;
  const auth = await open();
  await tell('online');
  assert.equal(server.count('refresh'), 1, 'nothing was missed');
  await pass(11_000);
  server.faults.push(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  await assert.rejects(auth.refresh());
  await tell('online');
  assert.equal(server.count('refresh'), 4);
  await tell('online');
  assert.equal(server.count('refresh'), 4);
});

test('whoever asks while the server is away waits for the same answer', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  server.faults.push(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  const asked = await Promise.allSettled([auth.getAccessToken(), auth.refresh(), auth.getAccessToken()]);
  assert.deepEqual(asked.map(({ reason }) => reason?.code), ['NETWORK_ERROR', 'NETWORK_ERROR', 'NETWORK_ERROR']);
  assert.equal(server.count('refresh'), 3);
});

test('an answer that never comes is not waited for', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const never = (_, { signal }) => new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason)));
  const asked = server.fetch.mock.callCount();
  server.fetch.mock.mockImplementationOnce(never, asked);
  server.fetch.mock.mockImplementationOnce(never, asked + 1);
  const given = assert.rejects(auth.getAccessToken(), { code: 'NETWORK_ERROR' });
  await settle();
  await pass(10_000);
  await pass(10_000);
  await given;
  assert.equal(auth.state.status, 'signedIn');
});

for (const [what, fault] of Object.entries({
  'the server': () => json(refusal('OVERLOADED', { retryAfter: 7 })),
  'a proxy': () => new Response('busy', { status: 429, headers: { 'retry-after': '7' } }),
})) {
  test(`the wait that ${what} asks for is kept`, async () => {
    const { open, server, pass } = createWorld();
    server.user = ada;
    const auth = await open();
    await pass(11_000);
    server.faults.push(fault());
    await assert.rejects(auth.refresh(), (error) => error.retryAfter === 7);
    await pass(4_500);
    await assert.rejects(auth.refresh(), (error) => error.retryAfter === 7 && /OVERLOADED|NETWORK_ERROR/.test(error.code));
    assert.equal(server.count('refresh'), 2, 'nobody was asked meanwhile');
    await pass(2_500);
    assert.equal((await auth.refresh()).status, 'signedIn');
  });
}

test('a wait is over for whoever signs in', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push(json(refusal('RATE_LIMITED', { retryAfter: 60 })));
  await assert.rejects(auth.refresh(), { code: 'RATE_LIMITED' });
  await auth.login({ email: grace.email, password });
  await pass(11_000);
  assert.match(await auth.getAccessToken(), /of-2$/);
});

test('a session that is over signs the page out', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  const heard = [];
  auth.onAuthChange((user) => heard.push(user));
  server.user = null;
  await pass(11_000);
  assert.equal(await auth.getAccessToken(), null);
  assert.deepEqual(auth.state, { status: 'signedOut', user: null, error: null });
  assert.deepEqual(heard, [null]);
});

test('signing in and up answers the user, refuses with a code, and hides nothing', async () => {
  const { open, server } = createWorld();
  const auth = await open();
  const fields = [{ field: 'password', code: 'TOO_SHORT', message: 'Too short.' }];
  server.faults.push(json(refusal('BAD_USER_INPUT', { fields })));
  await assert.rejects(auth.signUp({ email: ada.email, password: 'x' }), (error) => error.code === 'BAD_USER_INPUT' && error.fields[0].field === 'password');
  server.faults.push(json(refusal('INVALID_CREDENTIALS')));
  await assert.rejects(auth.login({ email: ada.email, password }), { code: 'INVALID_CREDENTIALS', message: 'refused: INVALID_CREDENTIALS' });
  assert.equal(auth.state.status, 'signedOut');
  assert.equal(server.count('refresh'), 1);
  assert.deepEqual(await auth.signUp({ email: ada.email, password, name: 'Ada' }), ada);
  assert.deepEqual(server.log.at(-1)[1].input, { email: ada.email, password, name: 'Ada', delivery: 'COOKIE' });
  assert.equal(auth.state.user.email, ada.email);
});

test('listeners hear of changes, outside every lock, and none spoils it for the others', async (t) => {
  const { open, server, locks } = createWorld();
  const complaints = t.mock.method(console, 'error', () => {});
  const auth = await open();
  const heard = [];
  auth.subscribe(() => {
    throw new Error('a bug of the app');
  });
  const stop = auth.subscribe(() => heard.push([auth.state.status, locks.held]));
  const stopAuth = auth.onAuthChange((user) => heard.push([user?.id ?? null, locks.held]));
  await auth.login({ email: ada.email, password });
  await auth.refresh();
  await auth.login({ email: grace.email, password });
  assert.deepEqual(heard, [['1', 0], ['signedIn', 0], ['2', 0], ['signedIn', 0]]);
  assert.equal(complaints.mock.callCount(), 2);
  stop();
  stopAuth();
  await auth.logout();
  assert.equal(heard.length, 4);
  assert.equal(server.count('refresh'), 2);
});

test('what a page finds when it loads is no change', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const answer = promise();
  server.faults.push(answer);
  const auth = await open();
  const heard = [];
  auth.onAuthChange((user) => heard.push(user));
  await answer.keep();
  assert.equal(auth.state.status, 'signedIn');
  assert.deepEqual(heard, []);
});

test('a logout is over at once and reaches a server that was away later, before anything else', async () => {
  const { open, server, stored } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push(new TypeError('Failed to fetch'));
  const leaving = auth.logout();
  await settle();
  assert.equal(auth.state.status, 'signedOut');
  await leaving;
  assert.equal(server.user, ada);
  assert.equal(Object.keys(stored).length, 1);
  server.faults.push(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  assert.equal((await (await open()).ready).status, 'signedOut', 'still away, still out');
  const later = await open();
  assert.equal((await later.ready).status, 'signedOut');
  assert.deepEqual(server.log.map(([field]) => field), ['refresh', 'logout', 'refresh', 'refresh', 'refresh', 'logout']);
  assert.equal(server.user, null);
  assert.deepEqual(stored, {});
  await open();
  assert.equal(server.log.at(-1)[0], 'refresh');
});

test('a page of somebody who has left shows so before the server answers, and tells it when the network is back', async () => {
  const { open, server, tell, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push(new TypeError('Failed to fetch'));
  await auth.logout();
  server.faults.push(promise());
  assert.equal((await open()).state.status, 'signedOut', 'at once');
  server.faults.length = 0;
  const { state } = auth;
  await tell('online');
  await pass(4_000); // the other one still has the lock
  assert.equal(server.user, null);
  assert.equal(auth.state, state);
});

test('signing in again takes a logout back that the server never heard of', async () => {
  const { open, server, stored } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push(new TypeError('Failed to fetch'));
  await auth.logout();
  await auth.login({ email: grace.email, password });
  assert.deepEqual(stored, {});
  assert.equal((await (await open()).ready).user.id, grace.id);
});

test('a page whose storage is forbidden logs out all the same', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const auth = await open();
  Object.defineProperty(globalThis, 'localStorage', {
    get() {
      throw new DOMException('no', 'SecurityError');
    },
    configurable: true,
  });
  await auth.logout();
  assert.equal(server.user, null);
});

test('a logout that the server has not heard of ends no other session', async () => {
  const { open, server, stored } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push(new TypeError('Failed to fetch'));
  await auth.logout();
  server.grant(grace, true); // has logged in at another origin of the site
  const later = await open();
  assert.equal((await later.ready).user.id, grace.id);
  assert.equal(server.count('logout'), 1);
  assert.deepEqual(stored, {});
});

test('whoever logs out while logging in is out', async () => {
  const { open, server } = createWorld();
  const auth = await open();
  const slow = promise();
  server.faults.push(slow);
  const login = assert.rejects(auth.login({ email: ada.email, password }), { code: 'SESSION_ENDED' });
  await settle();
  const logout = auth.logout();
  await slow.keep();
  await Promise.all([login, logout]);
  assert.equal(auth.state.status, 'signedOut');
  assert.equal(server.user, null);
});

test('revokeAll answered late signs nobody else out', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const [one, two] = [await open(), await open()];
  const slow = promise();
  server.faults.push(slow);
  const revoked = one.revokeAll();
  await settle();
  const login = two.login({ email: grace.email, password });
  await settle();
  assert.equal(server.count('login'), 0, 'its answer would clear the new cookie');
  await slow.keep();
  await Promise.all([revoked, login]);
  await settle();
  assert.equal(one.state.user.id, grace.id);
  assert.equal(two.state.user.id, grace.id);
});

test('a listener that changes the state again has the last word', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const auth = await open();
  const heard = [];
  auth.onAuthChange((user) => user && auth.logout());
  auth.onAuthChange((user) => heard.push(user?.id ?? null));
  await auth.login({ email: grace.email, password });
  await settle();
  assert.deepEqual(heard, [null]);
});

test('revokeAll answers how many, renews a refused token once, and never pretends', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const auth = await open();
  server.valid.clear();
  server.faults.push(undefined, undefined, new TypeError('Failed to fetch'));
  await assert.rejects(auth.revokeAll(), { code: 'NETWORK_ERROR' });
  assert.equal(auth.state.status, 'signedIn');
  assert.equal(await auth.revokeAll(), 3);
  assert.equal(auth.state.status, 'signedOut');
  assert.deepEqual(server.log.map(([field]) => field), ['refresh', 'revokeAll', 'refresh', 'revokeAll', 'revokeAll']);
});

test('revokeAll says why the token could not be renewed', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  server.faults.push(json(refusal('OVERLOADED', { retryAfter: 2 })));
  await assert.rejects(auth.revokeAll(), { code: 'OVERLOADED', retryAfter: 2 });
});

test('a frozen page is empty, and is filled again when the server has been asked', async () => {
  const { open, server, tell } = createWorld();
  server.user = ada;
  const auth = await open();
  const heard = [];
  auth.subscribe(() => heard.push(auth.state.status));
  auth.onAuthChange(() => heard.push('another'));
  await tell('pagehide', { persisted: false });
  assert.equal(auth.state.status, 'signedIn');
  await tell('pagehide', { persisted: true });
  assert.deepEqual(auth.state, { status: 'unknown', user: null, error: null });
  await tell('pageshow', { persisted: true });
  assert.deepEqual(heard, ['unknown', 'signedIn']);
  await tell('pagehide', { persisted: true });
  server.user = null;
  await tell('pageshow', { persisted: true });
  assert.deepEqual(heard.slice(2), ['unknown', 'another', 'signedOut']);
  assert.equal(server.count('refresh'), 3);
  await tell('pageshow', { persisted: false });
  assert.equal(server.count('refresh'), 3);
});

test('what was under way when a page froze is neither given up nor shown', async () => {
  const { open, server, pass, tell } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const answer = promise();
  server.faults.push(answer);
  const renewed = auth.refresh();
  await settle();
  await tell('pagehide', { persisted: true });
  assert.equal(server.log.at(-1)[3].signal.aborted, false, 'its cookie is still wanted');
  await tell('pageshow', { persisted: true });
  assert.equal(auth.state.status, 'unknown');
  await answer.keep();
  await renewed;
  await settle();
  assert.equal(auth.state.status, 'signedIn');
  assert.equal(server.count('refresh'), 3);
});

test('on a server that renders pages nobody is asked', async () => {
  const { open, server } = createWorld({ page: false });
  const auth = await open();
  assert.equal((await auth.ready).status, 'unknown');
  assert.equal(server.log.length, 0);
  assert.equal(auth.url, url);
});
