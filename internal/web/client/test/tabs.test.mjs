import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ada, createWorld, grace, install, json, promise, refusal, settle } from './world.mjs';

const password = 'paper lantern quay';

test('two tabs whose token is over ask once', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const [one, two] = [await open(), await open()];
  await pass(11_000);
  const before = server.count('refresh');
  const [first, second] = await Promise.all([one.getAccessToken(), two.getAccessToken()]);
  assert.equal(first, second);
  assert.equal(server.count('refresh'), before + 1);
});

test('a token from another tab is as long-lived here as there', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const one = await open();
  await pass(6_000);
  const two = await open();
  await pass(6_000); // the first one's own token would be over
  const asked = server.count('refresh');
  assert.equal(await one.getAccessToken(), await two.getAccessToken());
  await pass(5_000);
  await one.getAccessToken();
  assert.equal(server.count('refresh'), asked + 1);
});

test('whoever signs in or out somewhere does so everywhere', async () => {
  const { open } = createWorld();
  const [one, two] = [await open(), await open()];
  const heard = [];
  two.onAuthChange((user) => heard.push(user?.id ?? null));
  await one.login({ email: ada.email, password });
  await settle();
  assert.equal(two.state.user.id, ada.id);
  assert.equal(await two.getAccessToken(), await one.getAccessToken());
  await one.login({ email: grace.email, password });
  await settle();
  await two.logout();
  await settle();
  assert.equal(one.state.status, 'signedOut');
  await one.signUp({ email: ada.email, password });
  await one.revokeAll();
  await settle();
  assert.equal(two.state.status, 'signedOut');
  assert.deepEqual(heard, ['1', '2', null, '1', null]);
});

test('a session found over is over in every tab', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const [one, two] = [await open(), await open()];
  server.user = null;
  await one.refresh();
  await settle();
  assert.equal(two.state.status, 'signedOut');
});

test('a tab that keeps the lock for ever delays the others and no more', async () => {
  const { open, server, pass, locks } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  locks.request('latchkey https://auth.example.com/graphql', {}, () => new Promise(() => {}));
  const token = auth.getAccessToken();
  await settle();
  await pass(2_900);
  assert.equal(server.count('refresh'), 1);
  await pass(200);
  assert.match(await token, /^token-2/);
});

test('whoever signs in waits for a refresh under way, whose cookie would replace the new one', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const late = promise();
  server.faults.push(late);
  const renewed = auth.refresh();
  await settle();
  const login = auth.login({ email: grace.email, password });
  await pass(9_000);
  assert.equal(server.count('login'), 0);
  await late.keep();
  await Promise.all([renewed, login]);
  assert.equal(auth.state.user.id, grace.id);
});

test('nobody waits for ever to sign in', async () => {
  const { open, server, pass, locks } = createWorld();
  const auth = await open();
  locks.request('latchkey https://auth.example.com/graphql', {}, () => new Promise(() => {}));
  const login = auth.login({ email: ada.email, password });
  await pass(9_900);
  assert.equal(server.count('login'), 0);
  await pass(200);
  await login;
});

test('news of a session that has been left are no news', async () => {
  const { open, server, stored } = createWorld();
  server.user = ada;
  const [one, two] = [await open(), await open()];
  const renewed = two.refresh(); // its news reach a tab whose user has just left
  const left = one.logout();
  await Promise.all([renewed, left]);
  await settle();
  assert.equal(one.state.status, 'signedOut');
  assert.equal(two.state.status, 'signedOut');
  assert.equal(server.user, null);
  assert.deepEqual(stored, {});
  const name = 'latchkey https://auth.example.com/graphql';
  server.user = ada;
  await one.login({ email: ada.email, password });
  const slow = promise();
  server.faults.push(slow);
  const leaving = one.logout();
  new BroadcastChannel(name).postMessage({ token: 't', session: `s${server.session}`, left: 9_000, user: ada });
  await settle();
  assert.equal(one.state.status, 'signedOut');
  await slow.keep();
  await leaving;
  new BroadcastChannel(name).postMessage({ hello: 'from another version' });
  await settle();
  assert.equal(one.state.status, 'signedOut');
});

for (const [what, answer] of Object.entries({
  'a late end': () => json(refusal('SESSION_ENDED')),
  'a late token': () => undefined,
})) {
  test(`${what} of a session says nothing of whoever has signed in meanwhile`, async () => {
    const { open, server, pass } = createWorld();
    server.user = ada;
    const auth = await open();
    await pass(11_000);
    const late = promise();
    server.faults.push(late);
    const renewed = auth.refresh();
    await settle();
    new BroadcastChannel('latchkey https://auth.example.com/graphql').postMessage({ token: 't', session: 'another', left: 9_000, user: grace });
    await settle();
    await late.keep(answer());
    await renewed;
    assert.equal(auth.state.user.id, grace.id);
    assert.equal(await auth.getAccessToken(), 't');
  });
}

test('nor does a logout that is told late', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push(new TypeError('Failed to fetch'));
  await auth.logout();
  const late = promise();
  server.faults.push(undefined, late);
  const later = await open();
  await settle();
  assert.equal(server.count('logout'), 2);
  new BroadcastChannel('latchkey https://auth.example.com/graphql').postMessage({ token: 't', session: 'another', left: 9_000, user: grace });
  await settle();
  await late.keep();
  assert.equal((await later.ready).user.id, grace.id);
});

test('a logout of a session that is over anyway is forgotten', async () => {
  const { open, server, stored } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push(new TypeError('Failed to fetch'));
  await auth.logout();
  server.user = null;
  await open();
  assert.deepEqual(stored, {});
});

test('two spellings of an address are one', async () => {
  const { open } = createWorld();
  install('location', { href: 'https://auth.example.com/account' });
  const one = await open();
  const two = await open({ url: '/graphql' });
  await one.login({ email: ada.email, password });
  await settle();
  assert.equal(two.state.user?.id, ada.id);
});

test('a refresh under way when its user leaves brings nobody back', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const late = promise();
  server.faults.push(late);
  const renewed = auth.refresh();
  await settle();
  const left = auth.logout();
  await settle();
  assert.equal(auth.state.status, 'signedOut');
  await late.keep();
  await Promise.all([left, renewed]);
  assert.equal(auth.state.status, 'signedOut');
  assert.equal(await auth.getAccessToken(), null);
  assert.equal(server.user, null);
});

test('a logout that waits does not end the session of whoever signs in meanwhile', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const [one, two] = [await open(), await open()];
  const slow = promise();
  server.faults.push(slow);
  const login = two.login({ email: grace.email, password });
  await settle();
  const logout = one.logout();
  await settle();
  await slow.keep();
  await Promise.all([login, logout]);
  await settle();
  assert.equal(server.count('logout'), 0);
  assert.equal(one.state.user.id, grace.id);
  assert.equal(two.state.user.id, grace.id);
});

test('where locks and channels are missing, one page still takes turns', async () => {
  const { open, server, pass } = createWorld();
  Object.assign(globalThis, { navigator: {}, BroadcastChannel: undefined });
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const slow = promise();
  server.faults.push(slow);
  const renewed = auth.refresh();
  const login = auth.login({ email: grace.email, password });
  await settle();
  assert.equal(server.count('login'), 0);
  await slow.keep();
  await Promise.all([renewed, login]);
  assert.equal(auth.state.user.id, grace.id);
});
