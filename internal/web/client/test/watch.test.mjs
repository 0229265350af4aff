import assert from 'node:assert/strict';
import { test } from 'node:test';

import { watchSession } from '../dist/auth-client.js';
import { ada, createWorld, json, promise, refusal, settle } from './world.mjs';

const password = 'paper lantern quay';

/** A stream that a test writes to and ends. */
function newStream() {
  let controller;
  const body = new ReadableStream({ start: (c) => (controller = c) });
  return {
    answer({ signal }) {
      signal.addEventListener('abort', () => controller.error(signal.reason));
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
    },
    async end(text = '') {
      controller.enqueue(new TextEncoder().encode(text));
      controller.close();
      await settle();
    },
  };
}

const ended = 'event: next\ndata: {"data":{"sessionEvents":{"kind":"ENDED"}}}\n\nevent: complete\ndata:\n\n';

async function watched(tabs = 1) {
  const world = createWorld();
  world.server.user = ada;
  const open = newStream();
  const clients = [];
  for (let i = 0; i < tabs; i++) clients.push(await world.open());
  world.server.faults.push(open.answer);
  const stops = clients.map((auth) => watchSession(auth));
  await settle();
  return { ...world, stream: open, auth: clients[0], clients, stop: stops[0] };
}

test('a session that ends elsewhere is over here', async () => {
  const { server, stream, auth } = await watched();
  const [, , authorization, init] = server.log.at(-1);
  assert.equal(authorization, 'Bearer token-1-of-1');
  assert.equal(new Headers(init.headers).get('accept'), 'text/event-stream');
  server.user = null;
  await stream.end(ended);
  assert.equal(auth.state.status, 'signedOut');
  assert.equal(server.count('sessionEvents'), 1);
});

test('a stream whose token is over is opened again with the next one', async () => {
  const { server, stream, pass } = await watched();
  const second = newStream();
  server.faults.push(undefined, second.answer);
  await pass(10_000);
  await stream.end();
  assert.equal(server.count('sessionEvents'), 2);
  assert.equal(server.log.at(-1)[2], 'Bearer token-2-of-1');
});

test('of several tabs one listens, and the others hear of it', async () => {
  const { server, stream, clients } = await watched(3);
  assert.equal(server.count('sessionEvents'), 1);
  server.user = null;
  await stream.end(ended);
  assert.deepEqual(clients.map(({ state }) => state.status), ['signedOut', 'signedOut', 'signedOut']);
});

test('a stream that is refused, or cut soon, is asked for again after a pause that grows', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { server, stream, pass, page } = await watched();
  const listeners = t.mock.method(page, 'addEventListener');
  const refusals = () => json(refusal('OVERLOADED'));
  server.faults.push(undefined, refusals(), undefined, refusals(), undefined, refusals());
  await pass(4_000);
  await stream.end();
  for (const [least, most, streams] of [[499, 501, 2], [999, 1_001, 3], [1_999, 2_001, 4]]) {
    t.mock.timers.tick(least);
    await settle();
    assert.equal(server.count('sessionEvents'), streams - 1);
    t.mock.timers.tick(most);
    await settle();
    assert.equal(server.count('sessionEvents'), streams);
  }
  const online = listeners.mock.calls.filter(({ arguments: [type] }) => type === 'online');
  const gone = online.slice(0, -1).every(({ arguments: [, , { signal }] }) => signal.aborted);
  assert.ok(online.length > 2 && gone, 'a pause that is over listens to nothing');
});

test('a client that is told to stop does not begin again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { server, stream, stop, auth } = await watched();
  await stream.end(); // and a pause begins
  stop();
  await settle();
  await auth.logout();
  await auth.login({ email: ada.email, password });
  await settle();
  assert.equal(server.count('sessionEvents'), 1);
  server.faults.push(newStream().answer);
  watchSession(auth); // the lock is free, although the pause would not be over
  await settle();
  assert.equal(server.count('sessionEvents'), 2);
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal(server.count('sessionEvents'), 2);
});

test('where an answer has no stream there is nothing to listen to', async () => {
  const { open, server } = createWorld();
  server.user = ada;
  const auth = await open();
  server.faults.push({ headers: new Headers(), json: async () => ({}) });
  watchSession(auth);
  await settle();
  await auth.login({ email: ada.email, password });
  await settle();
  assert.equal(server.count('sessionEvents'), 1);
});

test('the pause is over when the network is back', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { server, stream, tell } = await watched();
  await stream.end();
  await tell('online');
  assert.equal(server.count('sessionEvents'), 2);
});

test('it stops when it is told to, begins with a sign-in, and leaves a page that freezes', async () => {
  const { server, stop, open, tell, auth } = await watched();
  const { signal } = server.log.at(-1)[3];
  await tell('pagehide', { persisted: true });
  assert.ok(signal.aborted);
  server.faults.push(undefined, newStream().answer);
  await tell('pageshow', { persisted: true });
  assert.equal(auth.state.status, 'signedIn');
  assert.equal(server.count('sessionEvents'), 2);
  stop();
  assert.ok(server.log.at(-1)[3].signal.aborted);
  await tell('pageshow', { persisted: true });
  assert.equal(server.count('sessionEvents'), 2);
  server.user = null;
  const other = await open();
  watchSession(other);
  assert.equal(server.count('sessionEvents'), 2);
  server.faults.push(undefined, promise());
  await other.login({ email: ada.email, password });
  await settle();
  assert.equal(server.count('sessionEvents'), 3);
});
