import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from './load.mjs';

const { readReturn } = await load('return');

test('leads where the server allows', () => {
  const { to, refused } = readReturn('https://app.example.com/notes?page=2#top', null);
  assert.equal(to.href, 'https://app.example.com/notes?page=2#top');
  assert.equal(refused, null);
  assert.equal(readReturn('http://localhost:5173/', null).to.host, 'localhost:5173');
});

test('leads nowhere when nothing was asked', () => {
  assert.deepEqual(readReturn(null, null), { to: null, refused: null });
});

test('says what was refused, and follows nothing beside it', () => {
  assert.deepEqual(readReturn(null, 'https://evil.example'), { to: null, refused: 'https://evil.example' });
  assert.deepEqual(readReturn('https://app.example.com/', ''), { to: null, refused: '' });
});

test('leads to web pages only, whatever the server says', () => {
  for (const target of ['javascript:alert(1)', ' JavaScript:alert(1)', 'data:text/html,x', 'blob:https://a.example/1', 'file:///etc/passwd', '/notes', '//evil.example', '']) {
    assert.deepEqual(readReturn(target, null), { to: null, refused: target });
  }
});
