import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from './load.mjs';

const { duration, exact, relative } = await load('time');

test('how long ago something was', () => {
  const now = new Date('2026-03-01T12:00:00Z');
  for (const [then, want] of [
    ['2026-03-01T12:00:00Z', null],
    ['2026-03-01T12:00:30Z', null], // the server's clock may be ahead
    ['2026-03-01T11:59:01Z', null],
    ['2026-03-01T11:59:00Z', '1 minute ago'],
    ['2026-03-01T11:00:01Z', '59 minutes ago'],
    ['2026-03-01T11:00:00Z', '1 hour ago'],
    ['2026-02-28T12:00:01Z', '23 hours ago'],
    ['2026-02-28T12:00:00Z', '1 day ago'], // and not "yesterday", which 47 hours ago need not be
    ['2026-01-31T12:00:00Z', '29 days ago'],
    ['2026-01-30T12:00:00Z', '1 month ago'],
    ['2025-03-01T12:00:00Z', '1 year ago'],
    ['2023-01-01T00:00:00Z', '3 years ago'],
  ]) {
    assert.equal(relative(new Date(then), now), want, then);
  }
});

test('when exactly, in the English that the browser prefers', () => {
  const then = new Date(2026, 2, 1, 15, 4);
  assert.equal(exact(then, ['en-GB'], 'short'), '1 March 2026 at 15:04');
  assert.match(exact(then, ['de-DE', 'en-US', 'en-GB'], 'short'), /^March 1, 2026 at 3:04\sPM$/);
  assert.equal(exact(then, ['de-DE']), 'March 1, 2026', 'the page is in English');
  assert.equal(exact(then, []), 'March 1, 2026');
});

test('how long to wait', () => {
  for (const [seconds, want] of [
    [1, '1 second'],
    [59, '59 seconds'],
    [60, '1 minute'],
    [61, '1 minute, 1 second'],
    [150, '2 minutes, 30 seconds'],
    [599, '9 minutes, 59 seconds'],
    [600, '10 minutes'],
    [601, '11 minutes'], // rather too long than too short
    [7_199, '120 minutes'],
    [7_200, '2 hours'],
    [86_400, '24 hours'],
    [0, '0 seconds'],
  ]) {
    assert.equal(duration(seconds), want);
  }
});
