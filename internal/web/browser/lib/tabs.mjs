// The situations of several tabs, and several browsers.
import assert from 'node:assert/strict';

const ME = '{ me { id } }';

export const tabs = [
  {
    name: 'two tabs refresh at once',
    outcome: 'twice, on an expired token and when both are loaded: one asks, the other takes its answer',
    refreshes: 2, // one each time
    async act(w) {
      const user = await w.user('ada');
      w.brief();
      const one = await w.signedIn(user);
      const two = await w.tab();
      await w.shows(two, user);
      await w.expired();
      await w.counted(async () => {
        const gate = w.proxy.hold(['refresh'], { answer: true });
        const first = w.answers(one, ME);
        await gate.arrived();
        const second = w.answers(two, ME);
        await w.queues(two);
        gate.release();
        await Promise.all([first, second]);
      });
      await w.counted(async () => {
        const gate = w.proxy.hold(['refresh'], { answer: true });
        await one.reload({ waitUntil: 'commit' });
        await gate.arrived();
        await two.reload({ waitUntil: 'commit' });
        await w.queues(two);
        gate.release();
        for (const page of [one, two]) {
          await w.shows(page, user);
          await w.neverShowedForm(page);
        }
      });
    },
  },
  {
    name: 'another tab holds the lock for ever',
    outcome: 'answered three seconds later',
    refreshes: 1,
    async act(w) {
      w.brief();
      const page = await w.signedIn(await w.user('ada'));
      const name = await w.lockName(page);
      const other = await w.tab({ path: '/away' });
      await w.holdLock(other, name);
      await w.expired();
      await w.counted(async () => {
        const began = performance.now();
        await w.answers(page, ME);
        const waited = w.proxy.of('refresh')[0].at - began;
        assert(waited > 2_500 && waited < 8_000, `the refresh was sent after ${waited} ms`);
        assert(await other.evaluate(async () => (await navigator.locks.query()).held.length === 1));
      });
    },
  },
  {
    name: 'logout in one tab',
    outcome: 'the login form in the other ones, too',
    refreshes: 0,
    async act(w) {
      const user = await w.user('ada');
      const one = await w.signedIn(user);
      const two = await w.tab();
      await w.shows(two, user);
      await w.counted(async () => {
        await w.press(one, 'Log out');
        await w.showsForm(one);
        await w.showsForm(two);
      });
      assert.equal(w.proxy.count('logout'), 1);
      await w.forgets(two, user);
      await w.reloads(two);
    },
  },
  {
    name: 'login in one tab',
    outcome: 'signed in in the other ones, too',
    refreshes: 0,
    async act(w) {
      const user = await w.user('ada');
      const one = await w.tab();
      const two = await w.tab();
      await w.showsForm(one);
      await w.showsForm(two);
      await w.counted(async () => {
        await w.login(one, user);
        await w.shows(one, user);
        await w.shows(two, user);
        await w.answers(two, ME);
      });
    },
  },
  {
    name: 'logout everywhere',
    outcome: 'the login form in every tab at once, in other browsers at their next request',
    refreshes: 1, // of the other browser
    async act(w) {
      const user = await w.user('ada');
      const one = await w.signedIn(user);
      const two = await w.tab();
      await w.shows(two, user);
      const elsewhere = await w.signedIn(user, { context: await w.another() });
      await w.counted(async () => {
        await w.press(one, 'Log out everywhere');
        await w.showsForm(one);
        await w.showsForm(two);
        assert.equal(w.proxy.count('refresh'), 0);
        await w.press(elsewhere, 'Reload');
        await w.showsForm(elsewhere);
      });
      for (const page of [one, two, elsewhere]) {
        await w.forgets(page, user);
        await w.reloads(page);
      }
    },
  },
];
