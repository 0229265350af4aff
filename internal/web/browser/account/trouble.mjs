// Limits, and servers that are away or unwell.
import assert from 'node:assert/strict';

import {
  account, answer, countRequests, expecting, forgetCookies, isFocused, look, newEmail, password, signUpElsewhere, step, urls,
} from './world.mjs';

const ada = newEmail('ada');
await signUpElsewhere(ada);
await signUpElsewhere(ada, { server: urls.limited });

async function control(act) {
  const response = await fetch(`${urls.control}/${act}`, { method: 'POST' });
  assert.equal(response.status, 200, await response.text());
}

await step('waits as long as a rate limit lasts, and counts it down', async (tab, at) => {
  await tab.goto(account('', urls.limited));
  const sent = countRequests(tab, 'login');
  await at.logIn(ada, 'wrong');
  await at.alert('Email or password is wrong.').waitFor();
  await at.button('Log in').click(); // the limit is one failure
  await at.alert('Too many attempts.').waitFor();
  const wait = tab.getByText(/^You can try again in \d+ seconds\.$/);
  const first = Number(/\d+/.exec(await wait.innerText())[0]);
  const button = at.button('Log in');
  assert.equal(await button.getAttribute('aria-disabled'), 'true');
  await button.focus();
  await tab.keyboard.press('Enter');
  await isFocused(button, 'the button that waits');
  assert.equal(sent.sent, 2, 'asked again before it was time');
  await look(tab, 'limited');
  await tab.waitForFunction((first) => Number(/again in (\d+)/.exec(document.body.innerText)[1]) < first, first);
  assert.equal(await tab.getByRole('alert').filter({ hasText: /\d/ }).count(), 0, 'an alert that changes is read out every second');
});

await step('lets try again when the wait is over', async (tab, at) => {
  await tab.goto(account());
  const restore = await answer(tab, 'login', { message: 'Wait.', extensions: { code: 'RATE_LIMITED', retryAfter: 2 } });
  await at.logIn(ada);
  const button = at.button('Log in');
  await at.status('You can try again now.').waitFor();
  assert.equal(await button.getAttribute('aria-disabled'), null);
  assert.equal(await tab.getByText('Too many attempts').count(), 0);
  await restore();
  await button.click();
  await at.heading('Your account').waitFor();
});
await forgetCookies();

await step('stops counting when the view is left', async (tab, at) => {
  await tab.goto(account());
  const restore = await answer(tab, 'login', { message: 'Busy.', extensions: { code: 'OVERLOADED', retryAfter: 60 } });
  await tab.evaluate(() => {
    globalThis.running = new Set();
    const { setInterval, clearInterval } = globalThis;
    globalThis.setInterval = (...args) => {
      const timer = setInterval(...args);
      globalThis.running.add(timer);
      return timer;
    };
    globalThis.clearInterval = (timer) => {
      globalThis.running.delete(timer);
      clearInterval(timer);
    };
  });
  await at.logIn(ada);
  await at.alert('The server is busy').waitFor();
  assert.equal(await tab.evaluate(() => globalThis.running.size), 1);
  await tab.getByRole('link', { name: 'Create an account' }).click();
  await at.heading('Create an account').waitFor();
  assert.equal(await tab.evaluate(() => globalThis.running.size), 0, 'a timer of a view that is gone');
  await tab.goBack();
  await restore();
  await at.logIn(ada);
  await at.heading('Your account').waitFor();
  assert.equal(await tab.evaluate(() => globalThis.running.size), 1);
  await at.button('Log out').click();
  await at.heading('Log in').waitFor();
  assert.equal(await tab.evaluate(() => globalThis.running.size), 0, 'a timer of a view that is gone');
});

await step('says that the server had to give up, with the number for its operator', async (tab, at) => {
  await tab.goto(account());
  const restore = await answer(tab, 'login', { message: 'Internal.', extensions: { code: 'INTERNAL', requestId: '0123456789abcdef' } });
  await at.logIn(ada);
  await at.alert('report this number: 0123456789abcdef').waitFor();
  await look(tab, 'internal');
  await restore();
  assert.equal(await at.password().inputValue(), password);
});

await step('waits with a server that is busy when the page loads', async (tab, at) => {
  const busy = (retryAfter) => answer(tab, 'refresh', { message: 'Busy.', extensions: { code: 'OVERLOADED', retryAfter } });
  let restore = await busy(60);
  await tab.goto(account());
  await at.heading('This does not work right now').waitFor();
  await at.alert('The server is busy').waitFor();
  assert.equal(await at.button('Try again').getAttribute('aria-disabled'), 'true');
  await look(tab, 'busy');
  await restore();
  restore = await busy(2);
  await tab.reload();
  await at.status('You can try again now.').waitFor();
  await restore();
  await at.button('Try again').click();
  await isFocused(at.heading('Log in'), 'the heading');
});

await step('keeps what was typed while the server is away, and the session too', async (tab, at) => {
  await tab.goto(account());
  await at.heading('Log in').waitFor();
  await expecting('net::ERR_', async () => {
    await control('stop');
    await at.logIn(ada);
    await at.alert('The server cannot be reached.').waitFor();
    assert.deepEqual([await at.email().inputValue(), await at.password().inputValue()], [ada, password]);
    await look(tab, 'log-in-away');
    await control('start');
    await at.button('Log in').click();
    await at.heading('Your account').waitFor();
    await at.button('Log out everywhere').waitFor();
    await control('stop');
    await at.field('Name').fill('Ada');
    await at.button('Save').click();
    await at.alert('The server cannot be reached.').waitFor();
    assert.equal(await at.field('Name').inputValue(), 'Ada');
    await look(tab, 'account-away');
    await control('start');
    await at.button('Save').click();
    await at.status('Saved.').waitFor();
  });
});

await step('says that the server is away, and tries again when asked to', async (tab, at) => {
  await tab.route('**/graphql', (route) => route.abort('connectionrefused'));
  await expecting('net::ERR_', async () => {
    await tab.goto(account());
    await at.heading('The server cannot be reached').waitFor();
    assert.equal(await tab.title(), 'The server cannot be reached · Latchkey');
    await look(tab, 'away');
    await at.button('Try again').focus();
    await tab.keyboard.press('Enter');
    await at.alert('Check your connection').waitFor();
    await isFocused(at.button('Try again'), 'the button');
    await tab.unroute('**/graphql');
    await control('stop');
    await at.button('Try again').click();
    await at.button('Trying…').waitFor({ state: 'detached' });
    await control('start');
    await at.button('Try again').click();
    await isFocused(at.heading('Your account'), 'the heading');
  });
});

await step('logs out although the server is away', async (tab, at) => {
  await tab.goto(account());
  await at.heading('Your account').waitFor();
  await expecting('net::ERR_', async () => {
    await control('stop');
    await at.button('Log out').click();
    await at.status('You are logged out.').waitFor();
    await control('start');
  });
  await tab.reload();
  await at.heading('Log in').waitFor();
});
await forgetCookies();
