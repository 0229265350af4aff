import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ada, createWorld, grace, json, promise, settle } from './world.mjs';

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

test('a refresh that hangs neither keeps anybody from signing in nor spoils it when it arrives', async () => {
  const { open, server, pass } = createWorld();
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const late = promise();
  server.faults.push(late);
  const renewed = auth.refresh();
  await settle();
  const signal = server.log.at(-1)[3].signal;
  const login = auth.login({ email: grace.email, password });
  await settle();
  assert.equal(server.count('login'), 0, 'the cookie is the refresh’s for now');
  await pass(3_100);
  await login;
  assert.equal(signal.aborted, true, 'its cookie must not arrive any more');
  const token = await auth.getAccessToken();
  await late.keep();
  assert.equal((await renewed).user.id, grace.id);
  assert.equal(await auth.getAccessToken(), token);
});

test('a late refresh is void also where its request cannot be given up', async (t) => {
  const { open, server, pass } = createWorld();
  const { any } = AbortSignal;
  t.after(() => Object.assign(AbortSignal, { any }));
  AbortSignal.any = undefined; // as in React Native
  server.user = ada;
  const auth = await open();
  await pass(11_000);
  const late = promise();
  server.fetch.mock.mockImplementationOnce(async () => {
    await late;
    return json({ data: { refresh: server.grant(ada) } });
  });
  const renewed = auth.refresh();
  await settle();
  const left = auth.logout();
  await settle();
  await late.keep();
  await Promise.all([left, renewed]);
  assert.equal(auth.state.status, 'signedOut');
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
