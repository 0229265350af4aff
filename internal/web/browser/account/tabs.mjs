// What happens in other tabs, on other devices and behind the Back button.
import assert from 'node:assert/strict';

import { account, call, forgetCookies, logInElsewhere, look, newEmail, on, openTab, signUpElsewhere, step, urls } from './world.mjs';

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

await step('notices when its session is ended on another device', async (tab, at) => {
  await tab.goto(account());
  await tab.getByText(grace, { exact: true }).waitFor();
  const token = await logInElsewhere(grace);
  const { sessions } = await call('{ sessions { id userAgent } }', {}, { token });
  const { id } = sessions.find(({ userAgent }) => userAgent.includes('Firefox'));
  const began = Date.now();
  await call('mutation($id: ID!) { revokeSession(id: $id) }', { id }, { token });
  await at.status('You were logged out in another tab or on another device.').waitFor();
  assert(Date.now() - began < 3000, `after ${Date.now() - began} ms`);
});

await step('shows nothing private on Back after logging out', async (tab, at) => {
  // As in a browser that keeps pages in memory whatever their headers say.
  await tab.route(account(), async (route) => {
    const response = await route.fetch();
    const headers = response.headers();
    delete headers['cache-control'];
    await route.fulfill({ response, headers });
  });
  await tab.goto(account());
  await at.logIn(ada);
  await tab.getByText(ada, { exact: true }).waitFor();
  await tab.evaluate(() => {
    globalThis.seen = [];
    const note = () => globalThis.seen.push(document.body.innerText);
    addEventListener('pageshow', note);
    addEventListener('pagehide', note);
  });
  await tab.goto(urls.app);
  const second = await openTab();
  await second.goto(account());
  await on(second).button('Log out').click();
  await on(second).heading('Log in').waitFor();
  await tab.goBack();
  await at.heading('Log in').waitFor();
  assert.equal(await tab.getByText(ada).count(), 0);
  console.log(JSON.stringify(await tab.evaluate(() => performance.getEntriesByType('navigation')[0].notRestoredReasons)));
  const seen = await tab.evaluate(() => globalThis.seen ?? []);
  assert(!seen.join().includes(ada), `frozen, or thawed, with ${seen.join()}`);
  console.log(`   (${seen.length ? 'from the back-forward cache' : 'loaded anew: this browser caches no such page'})`);
  await second.close();
});
await forgetCookies();
