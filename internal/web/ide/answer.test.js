import assert from 'node:assert/strict';
import { test } from 'node:test';

import { problems } from './answer.js';

const error = (code) => ({ message: 'no', extensions: { code } });

for (const [what, text, want] of [
  ['a success', JSON.stringify({ data: { logout: true } }), ''],
  ['an empty success', JSON.stringify({ data: {} }), ''],
  ['an error', JSON.stringify({ errors: [error('UNAUTHENTICATED')], data: { me: null } }), 'Error: UNAUTHENTICATED'],
  ['errors', JSON.stringify({ errors: ['A', 'B', 'A'].map(error) }), 'Error: A, B'],
  ['an error without code', JSON.stringify({ errors: [{ message: 'no' }], data: null }), 'Error'],
  ['an exception as GraphiQL shows it', JSON.stringify({ message: 'Failed to fetch', stack: '' }), 'Error'],
  ['a complaint of GraphiQL', 'Variables are invalid JSON: …', 'Error'],
  ['JSON that is no object', 'null', 'Error'],
]) {
  test(`the problems of ${what}`, () => assert.equal(problems(text), want));
}
