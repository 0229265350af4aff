// Apps and servers, which have no cookie jar.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ada, createWorld, json, promise, refusal, settle } from './world.mjs';

const password = 'paper lantern quay';

test('an app with a storage gets its refresh token in the body and keeps it there', async () => {
  const { open, server } = createWorld({ page: false });
  const kept = { token: 'one', loads: 0, load: () => (kept.loads++, kept.token), save: async (token) => void (kept.token = token) };
  server.user = ada;
  const grant = server.grant;
  server.grant = (user, isNew) => ({ ...grant(user, isNew), refreshToken: `refresh-${server.issued}` });
  const auth = await open({ storage: kept });
  assert.equal((await auth.ready).status, 'signedIn');
  assert.equal(kept.token, 'refresh-1');
  assert.equal(server.log[0][1].t, 'one');
  assert.equal(server.log[0][3].credentials, 'omit');
  kept.token = 'of another process';
  await auth.refresh();
  assert.equal(server.log[1][1].t, 'of another process');
  await auth.login({ email: ada.email, password });
  assert.equal(server.log[2][1].input.delivery, 'BODY');
  assert.equal(kept.token, 'refresh-3');
  await auth.logout();
  assert.equal(server.log[3][1].t, 'refresh-3');
  assert.equal(kept.token, null);
  assert.equal((await auth.refresh()).status, 'signedOut');
  assert.equal(server.log.length, 4, 'without a token there is nothing to ask');
});

test('an app that logs out while the server is away tells it later', async () => {
  const { open, server } = createWorld({ page: false });
  const kept = { token: null, load: () => kept.token, save: (token) => void (kept.token = token) };
  const auth = await open({ storage: kept });
  const { grant } = server;
  server.grant = (user, isNew) => ({ ...grant(user, isNew), refreshToken: `refresh-${server.issued}` });
  await auth.login({ email: ada.email, password });
  server.faults.push(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  await auth.logout();
  assert.equal(auth.state.status, 'signedOut');
  assert.equal((await open({ storage: kept })).state.status, 'signedOut', 'still away, still out');
  assert.equal((await open({ storage: kept })).state.status, 'signedOut');
  assert.deepEqual(server.log.map(([field, { t }]) => [field, t]).slice(1), Array(3).fill(['logout', 'refresh-1']));
  assert.equal(kept.token, null);
});

test('an app that logs out twice while the server is away is out all the same', async () => {
  const { open, server } = createWorld({ page: false });
  const kept = { token: 'one', load: () => kept.token, save: (token) => void (kept.token = token) };
  server.user = ada;
  const { grant } = server;
  server.grant = (user) => ({ ...grant(user), refreshToken: 'two' });
  const auth = await open({ storage: kept });
  server.faults.push(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  await Promise.all([auth.logout(), auth.logout()]);
  await auth.logout();
  assert.equal(kept.token, 'logout two');
  server.faults.length = 0;
  await open({ storage: kept });
  assert.deepEqual(server.log.at(-1).slice(0, 2), ['logout', { t: 'two' }]);
  assert.equal(kept.token, null);
});

test('an app that logs out while logging in ends the new session', async () => {
  const { open, server } = createWorld({ page: false });
  const kept = { token: null, load: () => kept.token, save: (token) => void (kept.token = token) };
  const { grant } = server;
  server.grant = (user, isNew) => ({ ...grant(user, isNew), refreshToken: 'new' });
  const auth = await open({ storage: kept });
  const slow = promise();
  server.faults.push(slow);
  const login = assert.rejects(auth.login({ email: ada.email, password }), { code: 'SESSION_ENDED' });
  await settle();
  const left = auth.logout();
  await slow.keep();
  await Promise.all([login, left]);
  assert.deepEqual(server.log.at(-1).slice(0, 2), ['logout', { t: 'new' }]);
  assert.equal(kept.token, null);
});

test('an app that logs out during a refresh keeps nothing', async () => {
  const { open, server } = createWorld({ page: false });
  const kept = { token: 'one', load: async () => kept.token, save: async (token) => void (kept.token = token) };
  server.user = ada;
  const { grant } = server;
  server.grant = (user) => ({ ...grant(user), refreshToken: `refresh-${server.issued}` });
  const auth = await open({ storage: kept });
  const slow = promise();
  server.faults.push(slow);
  const renewed = auth.refresh();
  await settle();
  const left = auth.logout();
  await slow.keep();
  await Promise.all([renewed, left]);
  assert.equal(auth.state.status, 'signedOut');
  assert.deepEqual(server.log.at(-1).slice(0, 2), ['logout', { t: 'refresh-2' }], 'the token that the refresh brought');
  assert.equal(kept.token, null);
});

test('an app whose storage fails later is told so, and signed out where it should be', async () => {
  const { open, server } = createWorld({ page: false });
  const kept = { token: null, load: () => kept.token, save: (token) => void (kept.token = token) };
  const auth = await open({ storage: kept });
  kept.save = () => {
    throw new Error('the disk is full');
  };
  await assert.rejects(auth.login({ email: ada.email, password }), { code: 'STORAGE_ERROR' });
  kept.save = (token) => void (kept.token = token);
  await auth.login({ email: ada.email, password });
  kept.save = () => {
    throw new Error('the disk is full');
  };
  kept.token = 'one';
  server.user = null;
  await assert.rejects(auth.refresh(), { code: 'STORAGE_ERROR' });
  assert.equal(auth.state.status, 'signedOut');
  await auth.logout();
});

test('an app whose storage is locked is told so, with a code', async () => {
  const { open, server } = createWorld({ page: false });
  const storage = {
    load() {
      throw new Error('the key chain is locked');
    },
    save() {},
  };
  const auth = await open({ storage });
  assert.equal((await auth.ready).error.code, 'STORAGE_ERROR');
  assert.match(auth.state.error.message, /the key chain is locked/);
  await assert.rejects(auth.refresh(), { code: 'STORAGE_ERROR' });
  assert.equal(server.log.length, 0);
});

test('an app forgets a refresh token that is over, and keeps it through everything else', async () => {
  const { open, server } = createWorld({ page: false });
  const kept = { token: 'one', load: () => kept.token, save: (token) => void (kept.token = token) };
  server.faults.push(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'), json(refusal('SESSION_ENDED')));
  const auth = await open({ storage: kept });
  assert.equal(auth.state.error.code, 'NETWORK_ERROR');
  assert.equal(kept.token, 'one');
  assert.equal((await auth.refresh()).status, 'signedOut');
  assert.equal(kept.token, null);
});
