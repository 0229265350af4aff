// What happens in other tabs, on other devices and behind the Back button.
import assert from 'node:assert/strict';

import {
  account, call, forgetCookies, logInElsewhere, look, newEmail, on, openTab, password, signUpElsewhere, step, urls,
} from './world.mjs';

const ada = newEmail('ada');
const grace = newEmail('grace');
await signUpElsewhere(ada);
await signUpElsewhere(grace);

await step('follows another tab that logs in, saves a name, logs out', async (tab, at) => {
  await tab.goto(account('#sign-up'));
  await at.heading('Create an account').waitFor();
  const second = await openTab();
  const other = on(second);
  await second.goto(account());
  await other.logIn(ada);
  await at.heading('Your account').waitFor();
  await tab.getByText(ada, { exact: true }).waitFor();
  await other.field('Name').fill('Ada');
  await other.button('Save').click();
  await tab.getByText('Ada', { exact: true }).waitFor();
  assert.equal(await at.field('Name').inputValue(), 'Ada');
  await at.field('Name').fill('Being typed');
  await other.field('Name').fill('Countess');
  await other.button('Save').click();
  await tab.getByText('Countess', { exact: true }).waitFor();
  assert.equal(await at.field('Name').inputValue(), 'Being typed');
  await other.button('Log out').click();
  await at.status('You were logged out in another tab or on another device.').waitFor();
  await at.heading('Log in').waitFor();
  assert.equal(await tab.getByText(ada).count(), 0, 'the last user’s address');
  await look(tab, 'ended-elsewhere');
  await second.close();
});

await step('shows nothing of one user to the next', async (tab, at) => {
  await tab.goto(account());
  await at.logIn(ada);
  await tab.getByText(ada, { exact: true }).waitFor();
  const second = await openTab();
  const other = on(second);
  await second.goto(account());
  await other.button('Log out').click();
  await other.logIn(grace);
  await tab.getByText(grace, { exact: true }).waitFor();
  assert.equal(await tab.getByText(ada).count(), 0);
  assert.equal(await at.field('Name').inputValue(), '');
  await second.close();
});

await step('becomes the next user’s when nobody logged out in between', async (tab, at) => {
  await tab.goto(account());
  await at.heading('Your account').waitFor();
  await tab.getByText(grace, { exact: true }).waitFor();
  // What an app of one's own may do. It ends the session that the cookie had, of which the page
  // hears: perhaps before the browser has the new cookie, and then it shows the form.
  await tab.evaluate((input) => {
    const query = 'mutation($input: LoginInput!) { login(input: $input) { user { id } } }';
    const headers = { 'content-type': 'application/json' };
    return fetch('/graphql', { method: 'POST', headers, body: JSON.stringify({ query, variables: { input } }) });
  }, { email: ada, password });
  const form = at.heading('Log in');
  await tab.getByText(ada, { exact: true }).or(form).waitFor();
  assert.equal(await tab.getByText(grace).count(), 0);
  if (await form.isVisible()) await tab.reload();
  await tab.getByText(ada, { exact: true }).waitFor();
  assert.equal(await at.field('Name').inputValue(), 'Countess');
  await at.button('Log out').click();
  await at.logIn(grace);
  await tab.getByText(grace, { exact: true }).waitFor();
});

await step('notices when its session is ended on another device', async (tab, at) => {
  await tab.goto(account());
  await tab.getByText(grace, { exact: true }).waitFor();
  const token = await logInElsewhere(grace);
  const { sessions } = await call('{ sessions { id userAgent } }', {}, { token });
  const { id } = sessions.find(({ userAgent }) => userAgent.includes('Firefox'));
  await call('mutation($id: ID!) { revokeSession(id: $id) }', { id }, { token });
  await at.status('You were logged out in another tab or on another device.').waitFor();
});

// The browser keeps the page in memory, whatever its headers say, until another tab speaks.
for (const [how, isFrozen] of [['in another tab', false], ['on another device', true]]) {
  await step(`shows nothing private on Back after logging out ${how}`, async (tab, at) => {
    await tab.route(account(), async (route) => {
      const response = await route.fetch();
      const { 'cache-control': _, ...headers } = response.headers();
      await route.fulfill({ response, headers });
    });
    await tab.goto(account());
    await at.logIn(ada);
    await tab.getByText(ada, { exact: true }).waitFor();
    await tab.evaluate(() => {
      globalThis.seen = [];
      for (const event of ['pagehide', 'pageshow']) {
        addEventListener(event, () => globalThis.seen.push(document.body.innerText));
      }
    });
    await tab.goto(urls.app);
    const token = await logInElsewhere(ada);
    if (isFrozen) {
      await call('mutation { revokeAll }', {}, { token });
    } else {
      const second = await openTab();
      await second.goto(account());
      await on(second).button('Log out').click();
      await on(second).heading('Log in').waitFor();
      await second.close();
    }
    await tab.goBack({ waitUntil: 'commit' }); // what was frozen is not loaded
    await at.heading('Log in').waitFor();
    assert.equal(await tab.getByText(ada).count(), 0);
    const seen = await tab.evaluate(() => globalThis.seen ?? []);
    assert.equal(seen.length > 0, isFrozen, 'whether the page was frozen');
    assert(!seen.join().includes(ada), `frozen, or thawed, with ${seen.join()}`);
  });
}
await forgetCookies();
