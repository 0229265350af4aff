// What the signed-in see: their name, their sessions, and the ways out.
import assert from 'node:assert/strict';

import {
  account, answer, call, countRequests, focused, forgetCookies, hold, isFocused, logInElsewhere, look, newEmail, picture, step, signUpElsewhere,
} from './world.mjs';

const ada = newEmail('ada');
const phone = await signUpElsewhere(ada);
const tablet = await logInElsewhere(ada, { device: 'Chrome on Android' });

await step('lists the sessions, this device first, and ends another one', async (tab, at) => {
  await tab.goto(account());
  await at.logIn(ada);
  const items = tab.getByRole('list', { name: 'Where you are logged in' }).getByRole('listitem');
  await items.nth(2).waitFor();
  assert.equal(await items.count(), 3);
  const mine = await items.nth(0).innerText();
  assert.match(mine, /^Firefox on Windows\s+This device\s+Last used just now · 127\.0\.0\.1$/);
  assert.equal(await items.nth(0).getByRole('button').count(), 0, 'a button that ends the session in use');
  const time = tab.locator('time').first();
  assert.match(await time.getAttribute('datetime'), /^\d{4}-\d\d-\d\dT/);
  assert.match(await time.getAttribute('title'), /\d{4}.*\d:\d\d/);
  await look(tab, 'account');
  const end = at.button('End session: Safari on iPhone');
  const release = await hold(tab, 'revokeSession');
  await end.focus();
  await tab.keyboard.press('Enter');
  await at.button('Ending…').waitFor();
  await tab.keyboard.press('Enter');
  await release();
  await at.status('The session has ended: Safari on iPhone.').waitFor();
  await isFocused(tab.getByRole('heading', { name: 'Where you are logged in' }), 'the heading of the list');
  assert.equal(await items.count(), 2);
  assert.equal(release.sent, 1);
  await look(tab, 'account-ended');
  await assert.rejects(call('{ me { email } }', {}, { token: phone }), /SESSION_ENDED/);
  await call('{ me { email } }', {}, { token: tablet });
});

await step('can be read at 320 pixels, with letters twice as large, and in the colours of the system', async (tab, at) => {
  await tab.goto(account());
  await at.button('End session: Chrome on Android').waitFor();
  const excess = () => tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await tab.setViewportSize({ width: 320, height: 640 });
  assert(await excess() <= 0);
  await tab.setViewportSize({ width: 640, height: 400 });
  await tab.evaluate(() => (document.documentElement.style.fontSize = '200%'));
  assert(await excess() <= 0);
  await picture(tab, 'account-twice-as-large');
  await tab.evaluate(() => (document.documentElement.style.fontSize = ''));
  await tab.emulateMedia({ forcedColors: 'active' });
  await picture(tab, 'account-forced-colours');
});

await step('looks at the list again when the visitor comes back to the tab', async (tab, at) => {
  await tab.goto(account());
  const items = tab.getByRole('list', { name: 'Where you are logged in' }).getByRole('listitem');
  await items.nth(1).waitFor();
  await logInElsewhere(ada);
  const sent = countRequests(tab, 'sessions');
  const comeBack = () => tab.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  const end = at.button('End session: Chrome on Android');
  await end.focus();
  await comeBack();
  assert(await focused(end), 'the button that was to be pressed is gone');
  await at.field('Name').focus();
  await comeBack();
  await at.button('End session: Safari on iPhone').waitFor();
  assert.equal(sent.sent, 1, 'asked under somebody’s fingers');
  assert.match(await items.nth(0).innerText(), /This device/, 'the one in use, and not the last one used, is the first');
});

await step('saves the name, and shows it', async (tab, at) => {
  await tab.goto(account());
  await at.heading('Your account').waitFor();
  const who = tab.getByRole('region', { name: 'Signed in as' });
  await who.getByText(ada, { exact: true }).waitFor();
  await who.getByText('Member since').waitFor();
  await at.field('Name').fill('  Ada Lovelace ');
  const release = await hold(tab, 'updateProfile');
  const sent = countRequests(tab, 'updateProfile');
  await at.button('Save').click();
  await at.button('Saving…').click({ force: true }); // Playwright heeds aria-disabled
  await release();
  await at.status('Saved.').waitFor();
  assert.equal(await at.field('Name').inputValue(), 'Ada Lovelace');
  await who.getByText('Ada Lovelace', { exact: true }).waitFor();
  await who.getByText(ada, { exact: true }).waitFor();
  assert.equal(sent.sent, 1, 'sent twice');
  await look(tab, 'account-saved');
  const named = await call('{ me { name } }', {}, { token: tablet });
  assert.equal(named.me.name, 'Ada Lovelace');
});

await step('says at the field what is wrong with a name, and keeps it', async (tab, at) => {
  await tab.goto(account());
  await at.heading('Your account').waitFor();
  const name = 'A'.repeat(5000);
  await at.field('Name').fill(name);
  await at.button('Save').click();
  await tab.waitForFunction(() => document.querySelector('[aria-invalid=true]'));
  await isFocused(at.field('Name'), 'Name');
  assert.equal(await at.field('Name').inputValue(), name);
  assert.notEqual(await tab.locator('#name-error').innerText(), '');
  await look(tab, 'account-name-wrong');
});

await step('says what it could not load or end, and tries again', async (tab, at) => {
  const problem = { message: 'Internal.', extensions: { code: 'INTERNAL', requestId: '0123456789abcdef' } };
  let restore = await answer(tab, 'sessions', problem);
  await tab.goto(account());
  await at.alert('report this number: 0123456789abcdef').waitFor();
  await look(tab, 'account-no-list');
  await restore();
  await at.button('Try again').focus();
  await tab.keyboard.press('Enter');
  await at.button('End session: Safari on iPhone').waitFor();
  await isFocused(tab.getByRole('heading', { name: 'Where you are logged in' }), 'the heading of the list');
  assert.equal(await at.button('Try again').count(), 0);
  assert.equal(await tab.getByText('report this number').count(), 0);
  restore = await answer(tab, 'revokeSession', problem);
  await at.button('End session: Safari on iPhone').click();
  await at.alert('Something went wrong on the server').waitFor();
  await restore();
  await at.button('End session: Safari on iPhone').click();
  await at.status('The session has ended').waitFor();
});

await step('logs out, and says so', async (tab, at) => {
  await tab.goto(account());
  await at.button('Log out').focus();
  await tab.keyboard.press('Enter');
  await at.status('You are logged out.').waitFor();
  await isFocused(at.heading('Log in'), 'the heading');
  assert.equal(await at.email().inputValue(), '', 'the last user’s address');
  await look(tab, 'logged-out');
  await tab.reload();
  await at.heading('Log in').waitFor();
  assert.equal(await tab.getByText(ada).count(), 0);
});

await step('logs out everywhere, after a question in the page', async (tab, at) => {
  await tab.goto(account());
  await at.logIn(ada);
  const open = at.button('Log out everywhere');
  const sent = countRequests(tab, 'revokeAll');
  await open.click();
  const question = tab.getByRole('group', { name: 'Log out everywhere?' });
  await question.getByText('on this device too').waitFor();
  await isFocused(question.getByRole('heading'), 'the question');
  await look(tab, 'everywhere');
  await tab.keyboard.press('Escape');
  await isFocused(open, 'where one was before');
  await tab.keyboard.press('Enter');
  await at.button('Cancel').click();
  await isFocused(open, 'where one was before');
  assert.equal(sent.sent, 0);
  await tab.keyboard.press('Enter');
  await tab.keyboard.press('Tab');
  await isFocused(at.button('Yes, log out everywhere'), 'the answer');
  await tab.keyboard.press('Enter');
  await at.status('You are logged out everywhere: 2 sessions have ended.').waitFor();
  await at.heading('Log in').waitFor();
  await assert.rejects(call('{ me { email } }', {}, { token: tablet }), /SESSION_ENDED/);
});

await step('stays when logging out everywhere fails, and says so', async (tab, at) => {
  await tab.goto(account());
  await at.logIn(ada);
  await at.button('Log out everywhere').click();
  const restore = await answer(tab, 'revokeAll', { message: 'Busy.', extensions: { code: 'OVERLOADED', retryAfter: 2 } });
  await at.button('Yes, log out everywhere').click();
  await at.alert('The server is busy').waitFor();
  await restore();
  await at.status('You can try again now.').waitFor();
  await at.button('Yes, log out everywhere').click();
  await at.status('You are logged out. There was no other session.').waitFor();
  assert.equal(await at.email().inputValue(), '', 'the address of whoever is gone');
});
await forgetCookies();
