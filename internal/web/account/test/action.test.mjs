import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from './load.mjs';

const { action } = await load('action');

// As much of a page as a button needs that asks something of the server.
globalThis.document = { querySelector: () => ({ content: { getElementById: () => null } }), importNode: () => null };

function makePage() {
  const [alert, waiting, status] = [{}, {}, {}];
  const button = Object.assign(new EventTarget(), {
    childNodes: ['Save'], dataset: { busy: 'Saving…' }, ariaDisabled: null, setAttribute() {},
    replaceChildren(...nodes) { this.textContent = nodes.join(''); },
  });
  const report = { append() {}, children: [alert, waiting, status] };
  const scope = { querySelector: (selector) => (selector === '.report' ? report : button) };
  return { scope, button, alert, waiting };
}

/** Presses the button, and lets the server answer with an error; before that, `meanwhile`. */
async function press({ scope, button }, signal, meanwhile = () => {}) {
  let refuse;
  const answer = new Promise((_, reject) => (refuse = reject));
  action(scope, 'button', signal, () => answer);
  button.dispatchEvent(new Event('click'));
  assert.equal(button.textContent, 'Saving…');
  assert.equal(button.ariaDisabled, 'true');
  meanwhile();
  refuse({ code: 'OVERLOADED', message: 'Busy.', retryAfter: 5 });
  await new Promise(setImmediate);
}

test('says what the server says, and waits as long as it asks for', async ({ mock }) => {
  mock.timers.enable({ apis: ['setInterval'] });
  const page = makePage();
  await press(page, new AbortController().signal);
  assert.equal(page.button.textContent, 'Save');
  assert.equal(page.alert.textContent, 'Busy.');
  assert.equal(page.button.ariaDisabled, 'true');
});

test('leaves a view alone that is gone when the answer comes', async ({ mock }) => {
  mock.timers.enable({ apis: ['setInterval'] });
  const page = makePage();
  const gone = new AbortController();
  await press(page, gone.signal, () => gone.abort());
  assert.equal(page.alert.textContent, null);
  assert.equal(page.waiting.textContent, undefined);
  assert.equal(page.button.textContent, 'Saving…');
});
