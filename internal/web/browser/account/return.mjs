// Being sent here by an app, and going back.
import assert from 'node:assert/strict';

import { account, forgetCookies, isFocused, look, newEmail, on, openTab, password, signUpElsewhere, step, urls } from './world.mjs';

const ada = newEmail('ada');
await signUpElsewhere(ada);
const { host } = new URL(urls.app);
const target = `${urls.app}/notes?page=2#top`;
const asked = (target) => account(`?return_to=${encodeURIComponent(target)}`);

await step('says where it goes back to, and does so right after logging in', async (tab, at) => {
  await tab.goto(asked(target));
  await tab.getByText(`Afterwards you go back to ${host}.`).waitFor();
  await look(tab, 'return');
  await at.logIn(ada);
  await tab.waitForURL(target);
  await tab.getByText('The app').waitFor();
});

await step('offers the way back to whoever is signed in already, and does not go by itself', async (tab, at) => {
  const left = [];
  tab.on('framenavigated', (frame) => left.push(frame.url()));
  await tab.goto(asked(target));
  await at.heading('Your account').waitFor();
  const link = tab.getByRole('link', { name: `Continue to ${host}` });
  await link.waitFor();
  assert.equal(await tab.evaluate(() => document.activeElement === document.body), true, 'the focus is taken');
  await look(tab, 'return-offer');
  assert.deepEqual(left.filter((url) => !url.startsWith(urls.server)), []);
  await link.focus();
  await tab.keyboard.press('Enter');
  await tab.waitForURL(target);
});

await step('goes back after signing up, and another tab that waits does not', async (tab, at) => {
  const second = await openTab();
  await second.goto(account());
  await on(second).button('Log out').click();
  await second.goto(asked(target));
  await on(second).heading('Log in').waitFor();
  await tab.goto(`${asked(target)}#sign-up`);
  await tab.getByText(`Afterwards you go back to ${host}.`).waitFor();
  await at.email().fill(newEmail());
  await at.password().fill(password);
  await at.button('Create account').click();
  await tab.waitForURL(target);
  await second.getByRole('link', { name: `Continue to ${host}` }).waitFor();
  assert(second.url().startsWith(urls.server));
  await second.close();
});

await step('shows the way when the browser stays', async (tab, at) => {
  await forgetCookies();
  let leave;
  const left = new Promise((resolve) => (leave = resolve));
  await tab.route(`${urls.app}/**`, async (route) => {
    leave();
    await route.abort('aborted'); // the navigation is over, and the page is still here
  });
  await tab.goto(asked(target));
  await at.logIn(ada);
  await left;
  await isFocused(at.heading('You are logged in'), 'the heading');
  await tab.getByText(`Taking you back to ${host}…`).waitFor();
  assert.equal(await tab.getByRole('link', { name: `Continue to ${host}` }).getAttribute('href'), target);
  await look(tab, 'going');
  // Whatever happens now, it is the way back that the visitor waits for.
  await tab.evaluate(() => dispatchEvent(new Event('hashchange')));
  await at.heading('You are logged in').waitFor();
  assert.equal(await at.heading('Your account').count(), 0);
});

await step('leads nowhere else, and says so', async (tab, at) => {
  const left = [];
  tab.on('request', (request) => {
    if (!request.url().startsWith(urls.server) && !request.url().startsWith('data:')) left.push(request.url());
  });
  const foreign = [
    ['javascript:alert(1)', 'a malformed address'],
    ['data:text/html,<script>alert(1)</script>', 'a malformed address'],
    ['https://evil.example/phish', 'https://evil.example'],
    ['//evil.example', 'a malformed address'],
    [`${urls.app}@evil.example`, ''],
    [`${urls.app}.evil.example`, ''],
    ['"><script>alert(1)</script>', 'a malformed address'],
  ];
  for (const [target, where] of foreign) {
    await forgetCookies();
    await tab.goto(asked(target));
    await at.heading('Log in').waitFor();
    await tab.getByText(`asks to send you on to ${where}`).waitFor();
    assert.equal(await tab.getByText('you go back to').count(), 0);
    await tab.getByText('That address is not allowed here').waitFor();
    if (target.startsWith('https://evil')) await look(tab, 'return-refused');
    await at.logIn(ada);
    await at.heading('Your account').waitFor();
    await tab.getByText(`asks to send you on to ${where}`).waitFor();
    assert.equal(await tab.getByRole('link', { name: 'Continue' }).count(), 0);
    if (target.startsWith('https://evil')) await look(tab, 'account-return-refused');
  }
  assert.deepEqual(left, []);
});
await forgetCookies();
