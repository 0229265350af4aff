// The situations in which one user's data must not be there for the next to see.
import assert from 'node:assert/strict';

const RENAME = 'mutation($name: String) { updateProfile(name: $name) { id name } }';

export const privacy = [
  {
    name: 'another user logs in',
    outcome: 'nothing of the first is shown or cached, also when an answer for the first comes late',
    refreshes: 0,
    async act(w) {
      const [ada, bob] = [await w.user('ada'), await w.user('bob')];
      const page = await w.signedIn(ada);
      await page.getByText(ada.telephone).waitFor();
      await w.counted(async () => {
        const gate = w.proxy.hold(['sessions'], { answer: true });
        await w.press(page, 'Reload');
        await gate.arrived();
        const late = w.proxy.of('sessions')[0];
        await w.press(page, 'Log out');
        await w.showsForm(page);
        const from = await w.mark(page);
        await w.login(page, bob);
        await w.shows(page, bob);
        await page.getByText(bob.telephone).waitFor();
        gate.release();
        await w.proxy.until('the late answer', () => late.over);
        assert(JSON.stringify(late.answer).includes(ada.telephone), 'the late answer has nothing private');
        await w.press(page, 'Reload');
        await w.shows(page, bob);
        await w.holdsNothingOf(page, ada, from);
      });
    },
  },
  {
    name: 'another user logs in in another tab',
    outcome: 'the tab shows the second user, with nothing of the first shown or cached',
    refreshes: 0,
    async act(w) {
      const [ada, bob] = [await w.user('ada'), await w.user('bob')];
      const one = await w.signedIn(ada);
      const two = await w.tab();
      await w.shows(two, ada);
      await two.getByText(ada.telephone).waitFor();
      await w.counted(async () => {
        const gate = w.proxy.hold(['sessions'], { answer: true });
        await w.press(two, 'Reload');
        await gate.arrived();
        // Without a logout before: the tab hears of the second user only.
        await w.logInAs(one, bob);
        for (const page of [one, two]) {
          await w.shows(page, bob);
          await page.getByText(bob.telephone).waitFor();
        }
        const from = (await w.screens(two)).findIndex(({ text }) => text.includes(bob.email));
        gate.release();
        await w.proxy.idle();
        await w.press(two, 'Reload');
        await w.shows(two, bob);
        await w.holdsNothingOf(two, ada, from);
        await w.holdsNothingOf(one, ada, await w.mark(one));
      });
    },
  },
  {
    name: 'a request that another user would repeat',
    outcome: 'twice, when the second logs in here and when elsewhere on the site: is not repeated',
    refreshes: 1,
    async act(w) {
      const [ada, bob] = [await w.user('ada'), await w.user('bob')];
      const page = await w.signedIn(ada);
      const { token } = await w.device(bob);
      await w.counted(async () => {
        const gate = w.proxy.hold(['updateProfile']);
        const late = w.ask(page, [RENAME, { name: 'Lovelace' }]);
        late.catch(() => {});
        await gate.arrived();
        await w.press(page, 'Log out');
        await w.showsForm(page);
        await w.proxy.answered('logout');
        await w.login(page, bob);
        await w.shows(page, bob);
        gate.release();
        await late;
      });
      assert.equal(w.proxy.count('updateProfile'), 1, 'attempts');
      assert.deepEqual(w.proxy.of('updateProfile')[0].codes, ['SESSION_ENDED']);
      // The cookie becomes Ada's behind the page's back, and the next refresh notices.
      w.brief();
      await w.refresh(page);
      await w.expired();
      await w.giveCookie(ada);
      await w.counted(async () => {
        await w.ask(page, [RENAME, { name: 'Byron' }]);
        await w.shows(page, ada);
      });
      for (const { token: access } of [{ token }, await w.device(ada)]) {
        const { data } = await w.api('{ me { name } }', { token: access });
        assert.equal(data.me.name, null, 'a name that somebody else chose');
      }
      await w.holdsNothingOf(page, bob, await w.mark(page));
    },
  },
  // Chromium keeps no page that missed a message of another tab.
  back('Back after logout in another tab', 'the page is loaded anew, without private data', false, async (w, user, second) => {
    await w.press(second, 'Log out');
    await w.showsForm(second);
    await w.proxy.answered('logout');
  }),
  back('Back after logout elsewhere', 'the same page comes back, without private data for even a frame', true, async (w, user) => {
    const { token } = await w.device(user);
    await w.api('mutation { revokeAll }', { token });
  }),
  {
    name: 'Back while signed in',
    outcome: 'the same page comes back; private data is shown when the server has answered',
    refreshes: 1,
    async act(w) {
      const user = await w.user('ada');
      const page = await w.signedIn(user);
      await page.goto(`${w.app}/away`);
      await w.counted(async () => {
        const gate = w.proxy.hold(['refresh'], { answer: true });
        await page.goBack({ waitUntil: 'commit' });
        await gate.arrived();
        const from = (await w.screens(page)).findIndex(({ when }) => when === 'pagehide');
        assert(await w.cameBack(page), 'the browser loaded the page anew');
        await page.getByRole('status').waitFor();
        await w.neverShowed(page, w.private(user), from + 1);
        gate.release();
        await w.shows(page, user);
        await w.neverShowedForm(page, from);
      });
    },
  },
];

// back is a situation in which the page is left, the session ends, and somebody presses Back.
function back(name, outcome, same, end) {
  return {
    name,
    outcome,
    refreshes: 1, // before anything is shown
    async act(w) {
      const user = await w.user('ada');
      const page = await w.signedIn(user);
      await page.getByText(user.telephone).waitFor();
      const second = await w.tab();
      await w.shows(second, user);
      await page.goto(`${w.app}/away`);
      await w.counted(async () => {
        await end(w, user, second);
        await page.goBack({ waitUntil: 'commit' });
        await w.showsForm(page);
        assert.equal(await w.cameBack(page), same, 'whether it is the page that was left');
        const from = (await w.screens(page)).findLastIndex(({ when }) => when === 'pagehide');
        await w.neverShowed(page, w.private(user), from + 1);
      });
    },
  };
}
