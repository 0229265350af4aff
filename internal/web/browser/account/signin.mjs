// Finding out who is signed in, logging in, signing up.
import assert from 'node:assert/strict';

import {
  account, countRequests, focused, forgetCookies, hold, isFocused, look, newEmail, password, signUpElsewhere, step,
} from './world.mjs';

const ada = newEmail('ada');
const grace = newEmail('grace');
await signUpElsewhere(ada);

await step('shows nothing at first, then that it is checking, and no form before it knows', async (tab, at) => {
  await tab.addInitScript(() => {
    globalThis.shown = [];
    new MutationObserver(() => {
      const text = document.querySelector('main')?.innerText;
      const hasForm = document.querySelector('form') !== null;
      if (text || hasForm) globalThis.shown.push({ text, hasForm, when: performance.now() });
    }).observe(document, { childList: true, subtree: true });
  });
  const release = await hold(tab, 'refresh');
  await tab.goto(account());
  await at.status('Checking').waitFor();
  await look(tab, 'checking');
  const shown = await tab.evaluate(() => globalThis.shown);
  assert.deepEqual(shown.filter(({ hasForm }) => hasForm), [], 'a form, before it is known who is signed in');
  assert.match(shown[0].text, /^Checking/);
  const begin = await tab.evaluate(() => performance.getEntriesByType('resource').find(({ name }) => name.endsWith('.js')).responseEnd);
  assert(shown[0].when - begin > 390, `something is shown after ${shown[0].when - begin} ms`);
  await release();
  await at.heading('Log in').waitFor();
  assert.equal(await tab.getByText('Checking').count(), 0, 'it says that it checks, and has checked');
  await isFocused(at.email(), 'Email');
  assert.equal(await tab.title(), 'Log in · Latchkey');
  await look(tab, 'log-in');
});

await step('says what is missing, at the fields, and asks nobody', async (tab, at) => {
  await tab.goto(account());
  await at.heading('Log in').waitFor();
  const sent = countRequests(tab, 'login');
  await at.button('Log in').click();
  for (const [field, message] of [[at.email(), 'Enter an email address.'], [at.password(), 'Enter a password.']]) {
    await tab.getByText(message, { exact: true }).waitFor();
    await describes(field, message);
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
  }
  await isFocused(at.email(), 'the first wrong field');
  await look(tab, 'log-in-missing');
  await at.email().fill(ada);
  await at.button('Log in').click();
  await isFocused(at.password(), 'the field that is left');
  assert.equal(await at.email().getAttribute('aria-invalid'), 'false');
  await describes(at.email(), '');
  assert.equal(sent.sent, 0);
});

await step('explains a wrong password and keeps what was typed', async (tab, at) => {
  await tab.goto(account());
  await at.logIn(ada, 'not the password');
  await at.alert('Email or password is wrong.').waitFor();
  assert.equal(await at.email().inputValue(), ada);
  assert.equal(await at.password().inputValue(), 'not the password');
  await isFocused(at.password(), 'Password');
  await look(tab, 'log-in-wrong');
  await at.password().fill(password);
  await at.button('Log in').click();
  await at.heading('Your account').waitFor();
  await isFocused(at.heading('Your account'), 'the heading');
  assert.equal(await tab.title(), 'Your account · Latchkey');
});
await forgetCookies();

await step('switches between logging in and signing up, with the email address and the Back button', async (tab, at) => {
  await tab.goto(account());
  await at.email().fill(ada);
  await at.password().fill('typed');
  await tab.getByRole('link', { name: 'Create an account' }).click();
  await isFocused(at.heading('Create an account'), 'the heading');
  assert.equal(await tab.title(), 'Create an account · Latchkey');
  assert.equal(await at.email().inputValue(), ada);
  assert.equal(await at.password().inputValue(), '', 'one password for two purposes');
  assert.equal(new URL(tab.url()).hash, '#sign-up');
  await look(tab, 'sign-up');
  await tab.goBack();
  await isFocused(at.heading('Log in'), 'the heading');
  assert.equal(await at.email().inputValue(), ada);
  assert.equal(await tab.title(), 'Log in · Latchkey');
  await tab.goForward();
  await at.heading('Create an account').waitFor();
  await tab.getByRole('link', { name: 'Log in' }).click();
  await at.heading('Log in').waitFor();
  await tab.goto(account('#sign-up'));
  await tab.reload();
  await at.heading('Create an account').waitFor();
});

await step('shows all mistakes of the server at once, at their fields', async (tab, at) => {
  await tab.goto(account('#sign-up'));
  await at.email().fill('nobody');
  await at.password().fill('short');
  await at.field('Name').fill('Ada');
  await at.button('Create account').click();
  await tab.waitForFunction(() => document.querySelectorAll('[aria-invalid=true]').length === 2);
  for (const field of [at.email(), at.password()]) assert.notEqual(await described(field), '');
  await isFocused(at.email(), 'the first wrong field');
  assert.deepEqual([await at.email().inputValue(), await at.password().inputValue()], ['nobody', 'short']);
  assert.equal(await tab.getByRole('alert').filter({ hasText: /./ }).count(), 0, 'said twice');
  await look(tab, 'sign-up-mistakes');
  await at.email().fill(ada);
  await at.password().fill(password);
  await at.button('Create account').click();
  await describes(at.email(), 'This email address is taken.');
  await isFocused(at.email(), 'Email');
  assert.equal(await at.password().getAttribute('aria-invalid'), 'false');
  assert.equal(await at.password().inputValue(), password, 'the password is lost');
});

await step('signs up by keyboard alone, looking at the password', async (tab, at) => {
  await tab.goto(account());
  await isFocused(at.email(), 'Email');
  const press = async (...keys) => {
    for (const key of keys) await tab.keyboard.press(key);
  };
  await tab.keyboard.type(grace);
  await press('Tab', 'Tab', 'Tab', 'Tab', 'Enter');
  await isFocused(at.heading('Create an account'), 'the heading');
  await press('Tab');
  assert(await focused(at.email()), 'Tab leads from the heading to the form');
  await press('Tab');
  await tab.keyboard.type(password);
  assert.equal(await at.password().getAttribute('type'), 'password');
  await press('Tab', 'Space');
  assert.equal(await at.password().getAttribute('type'), 'text');
  const toggle = at.button('Hide password');
  await isFocused(toggle, 'Hide password');
  const ring = await toggle.evaluate((element) => getComputedStyle(element).outlineStyle);
  assert.equal(ring, 'solid', 'the focus is not to be seen');
  await look(tab, 'sign-up-shown');
  await press('Tab');
  await tab.keyboard.type('Grace Hopper');
  const release = await hold(tab, 'signUp');
  const sent = countRequests(tab, 'signUp');
  await press('Enter');
  const busy = at.button('Creating your account…');
  await busy.waitFor();
  assert.equal(await at.password().getAttribute('type'), 'password', 'the password stays to be seen');
  await press('Enter', 'Enter');
  await busy.click({ force: true }); // Playwright heeds aria-disabled
  await isFocused(busy, 'the button that was pressed');
  assert.equal(await busy.getAttribute('aria-disabled'), 'true');
  await look(tab, 'sign-up-busy');
  await release();
  await isFocused(at.heading('Your account'), 'the heading');
  assert.equal(sent.sent, 1, 'sent twice');
  await tab.getByText('Grace Hopper', { exact: true }).waitFor();
  await tab.getByText(grace, { exact: true }).waitFor();
  assert.equal(new URL(tab.url()).hash, '');
});

await step('finds its session again after a reload, without a form in between', async (tab, at) => {
  await tab.addInitScript(() => {
    globalThis.hadLogin = false;
    new MutationObserver(() => {
      globalThis.hadLogin ||= document.querySelector('[type=password]') !== null;
    }).observe(document, { childList: true, subtree: true });
  });
  const sent = countRequests(tab, 'refresh');
  await tab.goto(account());
  await at.heading('Your account').waitFor();
  await tab.reload();
  await at.heading('Your account').waitFor();
  assert.equal(await tab.evaluate(() => globalThis.hadLogin), false);
  assert.equal(sent.sent, 2);
});
await forgetCookies();

await step('tells password managers what is what', async (tab, at) => {
  const shape = (form) =>
    [...form.elements].filter(({ name }) => name).map(({ name, type, autocomplete, required, autocapitalize, spellcheck }) =>
      [name, type, autocomplete, required, autocapitalize, spellcheck].join(' '),
    );
  await tab.goto(account());
  await at.heading('Log in').waitFor();
  assert.deepEqual(await tab.locator('form').evaluate(shape), [
    'email email username true none false', 'password password current-password true none false',
  ]);
  await tab.goto(account('#sign-up'));
  await at.heading('Create an account').waitFor();
  assert.deepEqual(await tab.locator('form').evaluate(shape), [
    'email email username true none false', 'password password new-password true none false', 'name text name false words false',
  ]);
});

/** What is said of a field, beside its label. */
async function described(field) {
  return field.evaluate((element) =>
    element.getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id)).filter(({ className }) => className === 'error')
      .map(({ textContent }) => textContent).join(' '),
  );
}

async function describes(field, text) {
  await field.page().waitForFunction(
    ([element, text]) =>
      element.getAttribute('aria-describedby').split(' ').some((id) => document.getElementById(id).textContent === text),
    [await field.elementHandle(), text],
  );
}
