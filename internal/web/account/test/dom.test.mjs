import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from './load.mjs';

const { every, text } = await load('dom');

const said = { ended: 'The session has ended: {}.' };
globalThis.document = {
  querySelector: () => ({ content: { getElementById: (id) => (id in said ? { textContent: said[id] } : null) } }),
};

test('a value is put in as it is, whatever it contains', () => {
  for (const value of ['Firefox', '$&', "$`$'", '$$', '$1', '{}', '']) {
    assert.equal(text('ended', value), `The session has ended: ${value}.`);
  }
  assert.equal(text('unheard'), null);
});

test('what is repeated ends with the signal, or when it is stopped', ({ mock }) => {
  mock.timers.enable({ apis: ['setInterval'] });
  const act = mock.fn();
  const over = new AbortController();
  every(250, act, over.signal);
  mock.timers.tick(500);
  assert.equal(act.mock.callCount(), 2);
  over.abort();
  mock.timers.tick(500);
  assert.equal(act.mock.callCount(), 2);

  const stop = every(250, act, new AbortController().signal);
  mock.timers.tick(250);
  assert.equal(act.mock.callCount(), 3);
  stop();
  mock.timers.tick(500);
  assert.equal(act.mock.callCount(), 3);
});

test('nothing is repeated when the signal was before', ({ mock }) => {
  mock.timers.enable({ apis: ['setInterval'] });
  const act = mock.fn();
  every(250, act, AbortSignal.abort())();
  every(250, act, AbortSignal.abort());
  mock.timers.tick(500);
  assert.equal(act.mock.callCount(), 0);
});
