// One situation: a fresh browser context, users, pages, and what a person does with them.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'graphql';
import { ask, cached } from './library.mjs';
import { observe, shiftClock, storedText } from './observer.mjs';

const PASSWORD = 'paper lantern quay';
const PATIENCE = 20_000; // of a person in front of a busy machine

export class World {
  #contexts = [];
  #failures = [];

  // servers: two over one database. Tokens of `brief` live for ttl seconds, those of `lasting`
  // longer than a situation: so that one expires when it should, and no other does.
  constructor({ browser, proxy, app, servers, ttl }) {
    Object.assign(this, { browser, proxy, app, servers, ttl });
  }

  async begin() {
    this.proxy.begin();
    this.refreshes = 0;
    this.lasting();
    this.browserContext = await this.another();
  }

  async end() {
    this.proxy.begin();
    for (const context of this.#contexts) await context.close();
  }

  brief() {
    this.proxy.target = this.servers.brief;
  }

  lasting() {
    this.proxy.target = this.servers.lasting;
  }

  // another browser, or the same user's other device.
  async another() {
    const context = await this.browser.newContext();
    context.setDefaultTimeout(PATIENCE);
    await context.addInitScript(observe);
    this.#contexts.push(context);
    return context;
  }

  // until waits for what only asking again can tell.
  async until(what, condition) {
    const end = performance.now() + PATIENCE;
    while (!(await condition())) {
      assert(performance.now() < end, `waited in vain for ${what}`);
      await sleep(50);
    }
  }

  // --- Pages --------------------------------------------------------------------------

  async tab({ context = this.browserContext, path = '/' } = {}) {
    const page = await context.newPage();
    page.on('pageerror', (error) => this.#failures.push(error.message));
    await page.goto(this.app + path, { waitUntil: 'commit' });
    return page;
  }

  // signedIn is a tab of somebody who has logged in on this page: a first refresh token, which
  // the next refresh replaces.
  async signedIn(user, { context = this.browserContext } = {}) {
    const page = await this.tab({ context });
    await this.login(page, user);
    await this.shows(page, user);
    return page;
  }

  // counted adds the refreshes of what is done, and of nothing else, to those of the situation.
  async counted(act) {
    await this.settled();
    this.proxy.forget();
    await act();
    await this.settled();
    this.refreshes += this.proxy.count('refresh');
  }

  // settled waits until nobody has anything under way.
  async settled() {
    for (const page of this.pages()) await this.unlocked(page);
    await this.proxy.idle();
    assert.deepEqual(this.#failures, [], 'uncaught exceptions');
  }

  pages() {
    return this.#contexts.flatMap((context) => context.pages());
  }

  // look is what the pages show, for messages.
  async look() {
    const texts = this.pages().map(async (page) =>
      `${page.url()}: ${await page.locator('body').innerText({ timeout: 2000 }).catch(({ message }) => message)}`);
    return [...(await Promise.all(texts)), ...this.#failures].join('\n---\n');
  }

  // until waits for what only asking again can tell.
  async until(what, condition) {
    const end = performance.now() + PATIENCE;
    while (!(await condition())) {
      assert(performance.now() < end, `waited in vain for ${what}`);
      await sleep(50);
    }
  }

  // --- Behind the browser's back ------------------------------------------------------

  async api(query, { variables, token, userAgent } = {}) {
    const response = await fetch(`${this.proxy.target}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token && { authorization: `Bearer ${token}` }),
        ...(userAgent && { 'user-agent': userAgent }),
      },
      body: JSON.stringify({ query, variables }),
    });
    const cookies = response.headers.getSetCookie();
    return { ...(await response.json()), cookies };
  }

  // stranger has no account yet.
  stranger(name) {
    const id = `${name}-${randomUUID().slice(0, 8)}`;
    return { email: `${id}@example.com`, password: PASSWORD, telephone: `telephone of ${id}` };
  }

  // user signs up, with a session on a telephone that only this user may see in a list.
  async user(name) {
    const user = this.stranger(name);
    const input = { email: user.email, password: PASSWORD, delivery: 'BODY' };
    const { data, errors } = await this.api(
      'mutation($input: SignUpInput!) { signUp(input: $input) { accessToken } }',
      { variables: { input }, userAgent: user.telephone },
    );
    assert(data, JSON.stringify(errors));
    return user;
  }

  // device signs the user in somewhere else, and answers an access token of there.
  async device(user, delivery = 'BODY') {
    const input = { email: user.email, password: PASSWORD, delivery };
    const answer = await this.api(
      'mutation($input: LoginInput!) { login(input: $input) { accessToken } }',
      { variables: { input }, userAgent: user.telephone },
    );
    return { token: answer.data.login.accessToken, cookies: answer.cookies };
  }

  // sessions of the user, as one of their devices sees them.
  async sessions(token) {
    const { data } = await this.api('{ sessions { id userAgent current } }', { token });
    return data.sessions;
  }

  async inBrowsers(token) {
    return (await this.sessions(token)).filter((session) => /Chrom/.test(session.userAgent));
  }

  // giveCookie makes the browser's session another user's, as a login elsewhere on the site does.
  async giveCookie(user, context = this.browserContext) {
    const { cookies } = await this.device(user, 'COOKIE');
    const [, value] = cookies.map((line) => /^refresh=([^;]+)/.exec(line)).find(Boolean);
    await context.addCookies([
      { name: 'refresh', value, domain: 'localhost', path: '/', httpOnly: true, sameSite: 'Strict' },
    ]);
  }

  async cookie(context = this.browserContext) {
    return (await context.cookies()).find(({ name }) => name === 'refresh')?.value ?? null;
  }

  // --- What a person does -------------------------------------------------------------

  async fill(page, { email, password }) {
    await page.getByLabel('Email').fill(email);
    await page.getByLabel('Password').fill(password);
  }

  async login(page, user) {
    await this.fill(page, user);
    await this.press(page, 'Log in');
  }

  press(page, name) {
    return page.getByRole('button', { name, exact: true }).click();
  }

  // twice presses a button again before anything can answer.
  twice(page, name) {
    return page.getByRole('button', { name, exact: true }).evaluate((button) => {
      button.click();
      button.click();
    });
  }

  // --- What a person sees -------------------------------------------------------------

  async shows(page, user) {
    await page.getByText(`Signed in as ${user.email}`).waitFor();
    await page.getByRole('list', { name: 'Sessions' }).getByText('this device').waitFor();
  }

  form(page) {
    return page.getByRole('form', { name: 'Log in' });
  }

  showsForm(page) {
    return this.form(page).waitFor();
  }

  // recovers says that the list is there again, without a login.
  async recovers(page, user) {
    await this.shows(page, user);
    await page.getByRole('alert').waitFor({ state: 'detached' });
  }

  // reloads says that a page is signed out for good.
  async reloads(page) {
    await page.reload({ waitUntil: 'commit' });
    await this.showsForm(page);
    await this.settled();
    assert(await this.form(page).isVisible());
  }

  alert(page) {
    return page.getByRole('alert').first();
  }

  async screens(page) {
    return page.evaluate(() => window.__seen.screens);
  }

  // mark is where a page's screens of the time to come begin.
  async mark(page) {
    return (await this.screens(page)).length;
  }

  // neverShowed says that a text was on no screen of a page from the given one on.
  async neverShowed(page, texts, from = 0) {
    for (const screen of (await this.screens(page)).slice(from)) {
      for (const text of texts) {
        assert(!`${screen.text} ${screen.fields}`.includes(text), `“${text}” was shown (${screen.when}): ${screen.text}`);
      }
    }
  }

  async neverShowedForm(page, from = 0) {
    const forms = (await this.screens(page)).slice(from).filter((screen) => screen.form);
    assert.deepEqual(forms, [], 'the login form was shown');
  }

  private(user) {
    return [user.email, user.telephone];
  }

  // holdsNothingOf looks into the page and into the library's cache.
  async holdsNothingOf(page, user, from) {
    await this.neverShowed(page, this.private(user), from);
    const cache = await page.evaluate(cached, parse('{ sessions { id lastUsedAt userAgent current } }', { noLocation: true }));
    for (const text of this.private(user)) assert(!cache.includes(text), `“${text}” is in the cache: ${cache}`);
  }

  // forgets says that a page that is signed out shows and keeps nothing of a user.
  async forgets(page, user) {
    await this.holdsNothingOf(page, user, (await this.mark(page)) - 1);
  }

  // cameBack says whether the page was restored as it was left, not loaded anew.
  cameBack(page) {
    return page.evaluate(() => window.__seen.persisted.at(-1));
  }

  // --- Locks ---------------------------------------------------------------------------

  // queues waits until a page waits for its turn, or has asked out of turn.
  queues(page) {
    const before = this.proxy.count('refresh');
    return this.until('a tab that waits for the lock', async () =>
      this.proxy.count('refresh') > before || page.evaluate(async () => (await navigator.locks.query()).pending.length > 0));
  }

  // unlocked waits until no page of the browser has a lock, or waits for one.
  unlocked(page) {
    return this.until('free locks', () => page.evaluate(async (stuck) => {
      const { held, pending } = await navigator.locks.query();
      return [...held, ...pending].every(({ name }) => name === stuck);
    }, this.stuck).catch(() => false)); // while it navigates
  }

  // lockName is what the client of a page calls its lock, seen while it refreshes.
  async lockName(page) {
    const gate = this.proxy.hold(['refresh'], { answer: true });
    const refreshed = this.refresh(page);
    await gate.arrived();
    const names = await page.evaluate(async () => (await navigator.locks.query()).held.map(({ name }) => name));
    gate.release();
    await refreshed;
    return names[0] ?? 'none';
  }

  async holdLock(page, name) {
    this.stuck = name;
    await page.evaluate((lock) => new Promise((held) => {
      navigator.locks.request(lock, () => {
        held();
        return new Promise(() => {});
      });
    }), name);
  }

  // --- Through the library ------------------------------------------------------------

  // ask runs documents through the library of the page, all at once.
  ask(page, ...documents) {
    const list = documents.map((one) => {
      const [text, variables = {}] = [one].flat();
      return { document: parse(text, { noLocation: true }), variables, isMutation: text.startsWith('mutation') };
    });
    return page.evaluate(ask, list);
  }

  async answers(page, ...documents) {
    for (const { data, codes } of await this.ask(page, ...documents)) {
      assert.deepEqual(codes, []);
      assert(Object.values(data).every((value) => value !== null), JSON.stringify(data));
    }
  }

  // logInAs is a login without a logout before.
  logInAs(page, { email, password }) {
    return page.evaluate(async (input) => void (await (await import('/client.js')).auth.login(input)), { email, password });
  }

  refresh(page) {
    return page.evaluate(async () => void (await (await import('/client.js')).auth.refresh()));
  }

  shiftClock(by) {
    return this.browserContext.addInitScript(shiftClock, by);
  }

  storedText(page) {
    return page.evaluate(storedText);
  }

  // expired waits until the last access token that went out is refused, and lets those that
  // follow live longer. What is held goes to the server that it was sent to.
  async expired() {
    const { token, at } = this.proxy.issued;
    await sleep(Math.max(0, at + this.ttl * 1000 - performance.now()));
    for (;;) {
      const { errors } = await this.api('{ me { id } }', { token });
      if (errors?.[0].extensions.reason === 'TOKEN_EXPIRED') break;
      await sleep(100);
    }
    this.lasting();
  }
}
