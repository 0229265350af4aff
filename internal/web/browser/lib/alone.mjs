// The situations of one tab that is left in peace.
import assert from 'node:assert/strict';

const FIVE = ['{ me { id } }', '{ me { email } }', '{ me { roles } }', '{ sessions { id } }', '{ sessions { current } }'];

export const alone = [
  {
    name: 'sign-up',
    outcome: 'the access token is in memory only, the cookie httpOnly and SameSite=Strict',
    refreshes: 1, // of the page load
    async act(w) {
      const user = w.stranger('new');
      await w.counted(async () => {
        const page = await w.tab();
        await w.showsForm(page);
        await w.fill(page, user);
        await w.press(page, 'Sign up');
        await w.shows(page, user);
        await w.answers(page, '{ me { id } }');
        const stored = await w.storedText(page);
        for (const secret of [w.proxy.issued.token, user.password, await w.cookie()]) {
          assert(!stored.includes(secret), `the page keeps ${secret}: ${stored}`);
        }
        assert.equal(await page.evaluate(() => document.cookie), '');
      });
      const cookies = await w.browserContext.cookies();
      assert(cookies.some(({ name, path }) => name === 'refresh' && path === '/'), 'no refresh cookie');
      for (const { name, httpOnly, sameSite } of cookies) {
        assert.deepEqual({ name, httpOnly, sameSite }, { name, httpOnly: true, sameSite: 'Strict' });
      }
    },
  },
  {
    name: 'wrong password',
    outcome: 'said in words; the login is sent once, and nothing is refreshed',
    refreshes: 0,
    async act(w) {
      const user = await w.user('ada');
      const page = await w.tab();
      await w.showsForm(page);
      await w.counted(async () => {
        await w.login(page, { ...user, password: 'not the password' });
        await w.alert(page).waitFor();
        assert.match(await w.alert(page).innerText(), /password/i);
        assert(await w.form(page).isVisible());
        await w.settled();
        assert.equal(w.proxy.count('login'), 1);
        await w.login(page, user);
        await w.shows(page, user);
      });
    },
  },
  {
    name: 'anonymous page load',
    outcome: 'the login form, and no loop',
    refreshes: 1,
    async act(w) {
      await w.counted(async () => {
        const page = await w.tab();
        await w.showsForm(page);
        await w.settled();
        assert.equal(await w.alert(page).count(), 0, 'an alert');
        assert.equal(w.proxy.count('sessions'), 0, 'private fields, asked for by nobody');
        await w.ask(page, '{ me { id } }', '{ sessions { id } }');
        assert(await w.form(page).isVisible());
      });
    },
  },
  {
    name: 'reload',
    outcome: 'signed in, without a flash of the login form',
    refreshes: 1,
    async act(w) {
      const user = await w.user('ada');
      const page = await w.signedIn(user);
      await w.counted(async () => {
        const gate = w.proxy.hold(['refresh'], { answer: true });
        await page.reload({ waitUntil: 'commit' });
        await gate.arrived();
        await page.getByRole('status').waitFor();
        gate.release();
        await w.shows(page, user);
        await w.neverShowedForm(page);
      });
    },
  },
  {
    name: 'five queries on an expired token',
    outcome: 'five answers',
    refreshes: 1,
    async act(w) {
      w.brief();
      const page = await w.signedIn(await w.user('ada'));
      await w.expired();
      const from = await w.mark(page);
      await w.counted(() => w.answers(page, ...FIVE));
      await w.neverShowedForm(page, from);
    },
  },
  {
    name: 'late refusals',
    outcome: 'all are answered; those that arrive after the refresh start no second one',
    refreshes: 1,
    async act(w) {
      w.brief();
      const page = await w.signedIn(await w.user('ada'));
      // A new token, and at once the queries that will be late. One connection of the browser's
      // six stays free for what they cause.
      const late = FIVE.slice(0, 4);
      const gate = w.proxy.hold(['me', 'sessions'], { times: late.length });
      await w.refresh(page);
      const answers = w.answers(page, ...late);
      await gate.arrived(late.length);
      await w.expired();
      const first = w.proxy.operations.slice(-late.length);
      w.proxy.forget();
      const repeated = () => [...w.proxy.of('me'), ...w.proxy.of('sessions')].filter(({ over }) => over);
      for (let n = 1; n <= late.length; n++) {
        gate.release();
        await w.proxy.until(`${n} repeated queries`, () => repeated().length >= n);
      }
      await answers;
      await w.settled();
      w.refreshes = w.proxy.count('refresh');
      for (const { codes } of first) assert.deepEqual(codes, ['TOKEN_EXPIRED']);
    },
  },
  {
    name: 'two identical mutations at once',
    outcome: 'both are answered, also on an expired token, and none runs twice',
    refreshes: 1,
    async act(w) {
      w.brief();
      const page = await w.signedIn(await w.user('ada'));
      await w.expired();
      await w.counted(async () => {
        for (const [name, saved] of [['Lovelace', 2], ['Byron', 4]]) {
          await page.getByLabel('Name').fill(name);
          await w.twice(page, 'Save');
          await page.getByText(`Saved ${name}`).waitFor();
          const ran = () => w.proxy.of('updateProfile').filter(({ answer, over }) => over && answer?.data?.updateProfile);
          await w.proxy.until(`${saved} saved names`, () => ran().length >= saved);
          await w.settled();
          assert.equal(ran().length, saved);
          assert.equal(await w.alert(page).count(), 0, 'an alert');
        }
        const rename = ['mutation($n: String) { updateProfile(name: $n) { name } }', { n: 'King' }];
        await w.answers(page, rename, rename);
      });
    },
  },
  clock('client clock two hours ahead', 2),
  clock('client clock two hours behind', -2),
];

function clock(name, hours) {
  return {
    name,
    outcome: 'no difference: one refresh at the page load, one when the token has expired',
    refreshes: 2,
    async act(w) {
      const user = await w.user('ada');
      await w.shiftClock(hours * 3_600_000);
      await w.giveCookie(user);
      w.brief();
      let page;
      await w.counted(async () => {
        page = await w.tab();
        await w.shows(page, user);
      });
      const wrong = (await page.evaluate(() => Date.now())) - Date.now();
      assert(Math.abs(wrong - hours * 3_600_000) < 600_000, 'the clock of the page is right');
      await w.expired();
      await w.counted(async () => {
        await w.answers(page, FIVE[0]);
        await w.answers(page, ...FIVE);
        await w.press(page, 'Reload');
        await w.shows(page, user);
      });
      await w.neverShowedForm(page);
    },
  };
}
