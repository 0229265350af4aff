// A browser of several tabs, and a server, without either: the tests of the client play in it.
// Time passes only when a test says so.
import { mock } from 'node:test';

import { createAuthClient } from '../dist/auth-client.js';

export const url = 'https://auth.example.com/graphql';
export const ada = { id: '1', email: 'ada@example.com', emailVerified: false, name: null, roles: ['USER'], createdAt: '2026-01-01T00:00:00Z' };
export const grace = { ...ada, id: '2', email: 'grace@example.com' };

/** Lets everything happen that needs no time. */
export async function settle() {
  for (let i = 0; i < 100; i++) await new Promise(setImmediate);
}

export function createWorld({ page = true } = {}) {
  let time = 1000;
  const alarms = [];
  mock.restoreAll();
  mock.method(performance, 'now', () => time);
  mock.method(AbortSignal, 'timeout', (ms) => {
    const controller = new AbortController();
    alarms.push({ at: time + ms, ring: () => controller.abort(new DOMException('it took too long', 'TimeoutError')) });
    return controller.signal;
  });
  const world = {
    page: new EventTarget(),
    stored: {},
    server: createServer(),
    async pass(ms) {
      time += ms;
      for (const alarm of alarms.splice(0)) {
        if (alarm.at <= time) alarm.ring();
        else alarms.push(alarm);
      }
      await settle();
    },
    locks: createLocks(),
    async open(options) {
      const auth = createAuthClient({ url, ...options });
      await settle();
      return auth;
    },
    /** What the browser tells a page: pagehide, pageshow, online. */
    async tell(type, properties) {
      world.page.dispatchEvent(Object.assign(new Event(type), properties));
      await settle();
    },
  };
  install('fetch', world.server.fetch);
  install('location', page ? { href: 'https://app.example.com/' } : undefined);
  install('document', page ? {} : undefined);
  install('navigator', page ? { locks: world.locks } : {});
  install('BroadcastChannel', page ? createChannels() : undefined);
  install('localStorage', world.stored);
  install('addEventListener', (type, listener, options) => world.page.addEventListener(type, listener, options));
  return world;
}

export function install(name, value) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

/** A message may be later than the lock of the tab that sent it, but not than a message after it. */
const late = (act) => setImmediate(() => setImmediate(act));

function createChannels() {
  const open = new Set();
  return class extends EventTarget {
    constructor(name) {
      super();
      this.name = name;
      open.add(this);
      this.addEventListener('message', (message) => this.onmessage?.(message));
    }
    postMessage(data) {
      for (const other of open) {
        const hear = () => other.dispatchEvent(Object.assign(new Event('message'), { data: structuredClone(data) }));
        if (other !== this && other.name === this.name) late(hear);
      }
    }
  };
}

function createLocks() {
  const queues = new Map();
  const locks = {
    held: 0,
    request(name, { signal }, work) {
      const before = queues.get(name) ?? Promise.resolve();
      let release;
      queues.set(name, before.then(() => new Promise((resolve) => (release = resolve))));
      return new Promise((resolve, reject) => {
        let waits = true;
        signal?.addEventListener('abort', () => {
          if (!waits) return;
          waits = false;
          reject(signal.reason);
          before.then(() => release());
        });
        before.then(async () => {
          if (!waits) return;
          waits = false;
          locks.held++;
          try {
            resolve(await work());
          } catch (error) {
            reject(error);
          } finally {
            locks.held--;
            release();
          }
        });
      });
    },
  };
  return locks;
}

/** One browser's cookie, and what a server makes of it. */
function createServer() {
  const server = {
    user: null, // whom the cookie is of
    session: 0, // and which session
    issued: 0,
    lifetime: 10,
    valid: new Set(), // access tokens
    log: [], // [operation, variables]
    faults: [], // what happens to the next requests: an answer, an Error, or a promise of either
    count: (field) => server.log.filter(([name]) => name === field).length,
    grant(user, isNew = false) {
      if (isNew) server.session++;
      server.user = user;
      const accessToken = `token-${++server.issued}-of-${user.id}`;
      server.valid.add(accessToken);
      return { accessToken, expiresIn: server.lifetime, refreshToken: null, sessionId: `s${server.session}`, user };
    },
    fetch: mock.fn(async (input, init = {}) => {
      const signal = init.signal;
      const body = input instanceof Request ? await input.text() : init.body;
      const { query = '', variables = {} } = typeof body === 'string' ? JSON.parse(body) : {};
      const field = query.match(/\{\s*(\w+)/)?.[1] ?? 'nothing';
      server.log.push([field, variables, new Headers(init.headers ?? input.headers).get('authorization'), init]);
      const fault = server.faults.shift();
      let answer = typeof fault === 'function' ? await fault(init) : await fault;
      if (signal?.aborted) throw signal.reason;
      if (answer instanceof Error) throw answer;
      return answer ?? json(server.answer(field, variables, server.log.at(-1)[2]));
    }),
    answer(field, variables, authorization) {
      const token = authorization?.slice('Bearer '.length);
      switch (field) {
        case 'refresh':
          return server.user ? { data: { refresh: server.grant(server.user) } } : refusal('SESSION_ENDED');
        case 'login':
        case 'signUp':
          return { data: { [field]: server.grant(variables.input.email === grace.email ? grace : ada, true) } };
        case 'logout':
          server.user = null;
          server.valid.clear();
          return { data: { logout: true } };
        case 'revokeAll':
          if (!server.valid.has(token)) return refusal('UNAUTHENTICATED');
          server.user = null;
          return { data: { revokeAll: 3 } };
        default:
          return server.valid.has(token) ? { data: { [field]: `for ${token}` } } : { data: { [field]: null }, ...refusal('UNAUTHENTICATED') };
      }
    },
  };
  return server;
}

export function refusal(code, extensions) {
  return { errors: [{ message: `refused: ${code}`, extensions: { code, ...extensions } }] };
}

export function json(body, init) {
  return new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' }, ...init });
}

/** A promise that a test keeps when it likes. */
export function promise() {
  let keep;
  const kept = new Promise((resolve) => (keep = resolve));
  kept.keep = async (value) => {
    keep(value);
    await settle();
  };
  return kept;
}
