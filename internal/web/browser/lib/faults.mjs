// The situations in which the session, the server or the network goes away.
import assert from 'node:assert/strict';
import { overloaded, unavailable } from './proxy.mjs';

const WAIT = 3; // seconds that an overloaded server asks for

export const faults = [
  {
    name: 'session ended elsewhere',
    outcome: 'twice, when one session was ended and when all were: the login form at the next request',
    refreshes: 2, // one for each
    async act(w) {
      const user = await w.user('ada');
      const page = await w.signedIn(user);
      const { token } = await w.device(user);
      const [{ id }, ...more] = await w.inBrowsers(token);
      assert.equal(more.length, 0);
      await w.counted(async () => {
        await w.api('mutation($id: ID!) { revokeSession(id: $id) }', { variables: { id }, token });
        await w.press(page, 'Reload');
        await w.showsForm(page);
      });
      await w.reloads(page);
      await w.login(page, user);
      await w.shows(page, user);
      await w.counted(async () => {
        await w.api('mutation { revokeAll }', { token });
        const [{ data }] = await w.ask(page, '{ me { id } }');
        assert.equal(data?.me ?? null, null);
        await w.showsForm(page);
      });
    },
  },
  // The client asks again at once when there was no answer.
  meets('a network error', 'said in words; the session stays, and works when the network is back', 3, async (w, page) => {
    w.proxy.cut();
    await w.press(page, 'Reload');
    await w.alert(page).waitFor();
    await w.settled();
    w.proxy.mend();
  }),
  meets('a 503', 'a proxy’s page and OVERLOADED keep the session; nobody asks before retryAfter is over', 3, async (w, page) => {
    w.proxy.reply(['refresh'], unavailable);
    w.proxy.reply(['refresh'], overloaded(WAIT));
    await w.press(page, 'Reload');
    await w.alert(page).waitFor();
    for (const again of [1, 2]) {
      const [{ codes }] = await w.ask(page, '{ me { id } }');
      assert.deepEqual(codes, ['OVERLOADED'], `attempt ${again}`);
    }
    assert.equal(w.proxy.count('refresh'), 2);
    assert.equal(w.proxy.count('me'), 0, 'queries with a token that is known to have expired');
    const { at } = w.proxy.of('refresh').at(-1);
    await w.until('the end of retryAfter', () => performance.now() > at + WAIT * 1000 + 500);
  }),
  // The server has replaced the refresh token, and the browser does not know.
  meets('the loss of its answer', 'asked again at once; nobody notices', 2, async (w, page) => {
    const from = await w.mark(page);
    w.proxy.lose(['refresh'], { answer: true });
    await w.press(page, 'Reload');
    await w.proxy.answered('sessions');
    assert(w.proxy.of('refresh')[0].answer.data.refresh, 'the server has refreshed');
    await w.neverShowed(page, ['cannot be reached'], from);
  }),
  // Chromium takes the answer from the page a moment before the page goes, so that it asks again.
  interrupted('reload in the middle of a refresh', 'signed in; the answers to the page that is gone do no harm', 6, async (w, page, gate) => {
    await page.reload({ waitUntil: 'commit' });
    await w.proxy.arrived('refresh', 2);
    await gate.answered();
    return page;
  }),
  interrupted('tab closed in the middle of a refresh', 'the cookie of the answer is kept, and the next tab signed in', 4, async (w, page, gate) => {
    const other = await w.tab({ context: gate.context, path: '/away' });
    await page.close();
    await w.unlocked(other); // the page is gone, and with it what it alone waited for
    await gate.kept();
    await other.goto(w.app);
    return other;
  }),
  interrupted('page left in the middle of a refresh', 'the cookie of the answer is kept, and Back shows the page signed in', 4, async (w, page, gate) => {
    await page.goto(`${w.app}/away`);
    await gate.kept();
    await page.goBack({ waitUntil: 'commit' });
    return page;
  }),
  {
    name: 'logout in the middle of a refresh',
    outcome: 'signed out at once and for good, on the server too',
    refreshes: 2, // that one, and one of a page load
    async act(w) {
      w.brief();
      const user = await w.user('ada');
      const page = await w.signedIn(user);
      await w.expired();
      await w.counted(async () => {
        const gate = w.proxy.hold(['refresh'], { answer: true });
        w.ask(page, '{ me { id } }').catch(() => {}); // of no interest to anybody any more
        await gate.arrived();
        await w.press(page, 'Log out');
        await w.showsForm(page);
        gate.release();
        await w.proxy.answered('logout');
        await w.settled();
        assert(await w.form(page).isVisible());
        await w.reloads(page);
      });
      const { token } = await w.device(user);
      assert.deepEqual(await w.inBrowsers(token), [], 'living sessions');
    },
  },
  {
    name: 'another user logs in while a refresh hangs',
    outcome: 'the login waits, for the late cookie would replace its own; signed in, also after a reload',
    refreshes: 2, // that one, and one of the reload
    async act(w) {
      w.brief();
      const [ada, bob] = [await w.user('ada'), await w.user('bob')];
      const page = await w.signedIn(ada);
      await w.expired();
      w.lasting(); // what is held goes where it was sent
      await w.counted(async () => {
        const gate = w.proxy.hold(['refresh'], { answer: true });
        w.ask(page, '{ me { id } }').catch(() => {}); // of no interest to anybody any more
        await gate.arrived();
        await w.press(page, 'Log out');
        await w.showsForm(page);
        await w.login(page, bob);
        const waiting = () => page.evaluate(async () => (await navigator.locks.query()).pending.length);
        await w.until('logout and login to wait', async () => (await waiting()) === 2);
        assert.equal(w.proxy.count('login'), 0);
        gate.release();
        await w.shows(page, bob);
        await page.reload({ waitUntil: 'commit' });
        await w.shows(page, bob);
      });
    },
  },
  {
    name: 'logout while the server is away',
    outcome: 'signed out at once, also after a reload; the session ends when the server is back',
    refreshes: 3, // each page load asks whether it is still that session; two in vain
    async act(w) {
      const user = await w.user('ada');
      const page = await w.signedIn(user);
      const { token } = await w.device(user);
      await w.counted(async () => {
        w.proxy.cut();
        await w.press(page, 'Log out');
        await w.showsForm(page);
        await w.settled();
        await w.reloads(page);
        assert.equal((await w.inBrowsers(token)).length, 1, 'living sessions, while the server is away');
        w.proxy.mend();
        await w.reloads(page);
        assert.deepEqual(await w.inBrowsers(token), [], 'living sessions');
      });
      await w.login(page, user);
      await w.shows(page, user);
      await page.reload({ waitUntil: 'commit' });
      await w.shows(page, user);
    },
  },
  {
    name: 'logout while the server is away, then another user elsewhere on the site',
    outcome: 'signed in as the second user, whose session the logout does not end',
    refreshes: 2,
    async act(w) {
      const [ada, bob] = [await w.user('ada'), await w.user('bob')];
      const page = await w.signedIn(ada);
      await w.counted(async () => {
        w.proxy.cut();
        await w.press(page, 'Log out');
        await w.showsForm(page);
        await w.settled();
        w.proxy.mend();
        await w.giveCookie(bob);
        await page.reload({ waitUntil: 'commit' });
        await w.shows(page, bob);
        await page.reload({ waitUntil: 'commit' }); // the session is not over
        await w.shows(page, bob);
        assert.equal(w.proxy.count('logout'), 1);
      });
    },
  },
  {
    name: 'page load while the server is away',
    outcome: '“Try again” and no login form; signed in when the server is back',
    refreshes: 3, // two in vain
    async act(w) {
      const user = await w.user('ada');
      await w.giveCookie(user);
      await w.counted(async () => {
        w.proxy.cut();
        const page = await w.tab();
        await w.alert(page).waitFor();
        await w.settled();
        w.proxy.mend();
        await w.press(page, 'Try again');
        await w.recovers(page, user);
        await w.neverShowedForm(page);
      });
    },
  },
];

// meets is a situation in which the refresh of an expired token meets an obstacle that goes away.
function meets(obstacle, outcome, refreshes, act) {
  return {
    name: `refresh meets ${obstacle}`,
    outcome,
    refreshes, // the last one is the good one
    async act(w) {
      w.brief();
      const user = await w.user('ada');
      const page = await w.signedIn(user);
      await w.expired();
      const from = await w.mark(page);
      await w.counted(async () => {
        await act(w, page);
        await w.press(page, 'Reload');
        await w.recovers(page, user);
      });
      await w.neverShowedForm(page, from);
    },
  };
}

// interrupted is a situation in which the page goes while its refresh is on its way: before the
// server has seen it, and then before its answer has come.
function interrupted(name, outcome, refreshes, leave) {
  return {
    name,
    outcome: `twice, before the server sees it and before its answer comes: ${outcome}`,
    refreshes, // each time the one that was interrupted, and the next page's
    async act(w) {
      const user = await w.user('ada');
      for (const answer of [false, true]) {
        const context = await w.another();
        w.brief();
        const page = await w.signedIn(user, { context });
        await w.expired();
        await w.counted(async () => {
          const gate = w.proxy.hold(['refresh'], { answer });
          w.ask(page, '{ me { id } }').catch(() => {}); // the page goes
          await gate.arrived();
          const [first] = w.proxy.of('refresh');
          const answered = async () => {
            gate.release();
            await w.proxy.until('the answer', () => first.over);
          };
          const kept = async () => {
            await answered();
            const [, sent] = first.cookies.map((line) => /^refresh=([^;]+)/.exec(line)).find(Boolean);
            await w.until('the cookie of the answer', async () => (await w.cookie(context)) === sent);
          };
          const next = await leave(w, page, { context, answered, kept });
          await w.shows(next, user);
        });
        await context.pages()[0].reload({ waitUntil: 'commit' });
        await w.shows(context.pages()[0], user);
      }
    },
  };
}
