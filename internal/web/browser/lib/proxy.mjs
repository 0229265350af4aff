// A proxy between a browser and the API that counts operations by their root field, and on
// demand holds them, loses them or answers in the server's place. Preflights and streams pass.
import http from 'node:http';
import { parse } from 'graphql';

// Chromium repeats by itself a request that fails on a connection it has used, or opened in
// advance: so each connection serves one request, and one that is not used soon is closed.
const IDLE_MS = 500;

export async function startProxy(port, target) {
  const proxy = new Proxy(target);
  await new Promise((resolve) => proxy.server.listen(port, 'localhost', resolve));
  return proxy;
}

class Proxy {
  #rules = [];
  #waiters = new Set();
  #cut = false;

  constructor(target) {
    this.target = target;
    this.operations = [];
    this.issued = null; // the last access token that was asked for, and when its answer came
    const unused = new WeakMap();
    this.server = http.createServer((request, response) => {
      clearTimeout(unused.get(request.socket));
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.server.on('connection', (socket) => {
      unused.set(socket, setTimeout(() => socket.destroy(), IDLE_MS));
    });
  }

  // begin forgets what was counted and ordered, and lets everything through.
  begin() {
    for (const rule of this.#rules) rule.release?.(Infinity);
    this.#rules = [];
    this.#cut = false;
    this.operations = [];
    this.issued = null;
  }

  // forget counts from here on.
  forget() {
    this.operations = [];
  }

  of(field) {
    return this.operations.filter((operation) => operation.fields.includes(field));
  }

  count(field) {
    return this.of(field).length;
  }

  // until waits for what the proxy sees.
  async until(what, condition, ms = 20_000) {
    if (condition()) return;
    let timer, waiter;
    await new Promise((resolve, reject) => {
      waiter = () => {
        if (condition()) resolve();
      };
      this.#waiters.add(waiter);
      timer = setTimeout(() => {
        reject(new Error(`the proxy waited in vain for ${what}; it has seen ${this.story()}`));
      }, ms);
    }).finally(() => {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    });
  }

  arrived(field, n = 1) {
    return this.until(`${n} × ${field}`, () => this.count(field) >= n);
  }

  answered(field, n = 1) {
    const over = () => this.of(field).filter((operation) => operation.over).length;
    return this.until(`${n} answers to ${field}`, () => over() >= n);
  }

  idle() {
    return this.until('silence', () => this.operations.every((operation) => operation.over));
  }

  // story is what happened, for messages.
  story() {
    return this.operations
      .map(({ fields, over, codes }) => `${fields}${codes.length > 0 ? ` (${codes})` : over ? '' : ' …'}`)
      .join(', ') || 'nothing';
  }

  // hold keeps the next n operations, before the server sees them or the answers on their way
  // back, until they are released, the first first.
  hold(fields, { answer = false, times = 1 } = {}) {
    const held = [];
    const rule = {
      fields, times, answer,
      act: () => new Promise((resolve) => {
        held.push(resolve);
        this.#tell();
      }),
      release: (n = 1) => {
        for (const resolve of held.splice(0, n)) resolve();
      },
      arrived: (n = 1) => this.until(`${n} held of ${fields}`, () => held.length >= n),
    };
    this.#rules.push(rule);
    return rule;
  }

  // lose destroys the connection of the next operation, before or after the server has answered.
  lose(fields, { answer = false } = {}) {
    this.#rules.push({ fields, times: 1, answer, act: async () => 'lost' });
  }

  // reply answers the next operation in the server's place.
  reply(fields, reply) {
    this.#rules.push({ fields, times: 1, answer: false, act: async () => reply });
  }

  // cut loses every operation, until it is mended.
  cut() {
    this.#cut = true;
  }

  mend() {
    this.#cut = false;
  }

  #rule(operation, answer) {
    const rule = this.#rules.find((one) =>
      one.times > 0 && one.answer === answer && one.fields.some((field) => operation.fields.includes(field)));
    if (rule) rule.times--;
    return rule;
  }

  #tell() {
    for (const waiter of this.#waiters) waiter();
  }

  async #serve(request, response) {
    response.shouldKeepAlive = false;
    const body = await read(request);
    const { fields, isStream } = request.method === 'OPTIONS' ? { isStream: true } : operationOf(request, body);
    if (isStream) {
      const answer = await this.#forward(request, body);
      response.writeHead(answer.statusCode, plain(answer.headers));
      answer.pipe(response);
      return;
    }
    const operation = {
      fields, authorization: request.headers.authorization ?? '',
      target: this.target, at: performance.now(), codes: [], answer: null, cookies: [], over: false,
    };
    this.operations.push(operation);
    this.#tell();
    try {
      await this.#pass(operation, request, body, response);
    } finally {
      operation.over = true;
      this.#tell();
    }
  }

  async #pass(operation, request, body, response) {
    const before = this.#cut ? 'lost' : await this.#rule(operation, false)?.act();
    if (before === 'lost') return lose(request);
    if (before) {
      operation.codes = before.codes;
      response.writeHead(before.status, { ...cors(request), ...before.headers });
      return finish(response, before.body);
    }
    const answer = await this.#forward(request, body, operation.target);
    const text = await read(answer);
    operation.cookies = answer.headers['set-cookie'] ?? [];
    try {
      operation.answer = JSON.parse(text);
      operation.codes = (operation.answer.errors ?? []).map((error) => error.extensions?.reason ?? error.extensions?.code);
    } catch {
      operation.codes = ['not JSON'];
    }
    const { accessToken } = operation.answer?.data?.[operation.fields[0]] ?? {};
    if (accessToken) this.issued = { token: accessToken, at: performance.now() };
    this.#tell();
    if ((await this.#rule(operation, true)?.act()) === 'lost' || this.#cut) return lose(request);
    response.writeHead(answer.statusCode, plain(answer.headers));
    return finish(response, text);
  }

  #forward(request, body, target = this.target) {
    return new Promise((resolve, reject) => {
      const { method, url, headers } = request;
      const onward = http.request(target + url, { method, headers: { ...headers, connection: 'close' } }, resolve);
      onward.on('error', reject);
      onward.end(body);
    });
  }
}

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// finish resolves when the answer is on its way, or nobody is there to take it.
function finish(response, body) {
  return new Promise((resolve) => {
    if (response.destroyed) return resolve();
    response.once('close', resolve);
    response.end(body);
  });
}

function lose(request) {
  request.socket.destroy();
}

function plain({ connection, 'keep-alive': keepAlive, 'transfer-encoding': coding, ...headers }) {
  return headers;
}

function cors(request) {
  return {
    'access-control-allow-origin': request.headers.origin ?? '*',
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': 'Retry-After',
  };
}

function operationOf(request, body) {
  const url = new URL(request.url, 'http://proxy');
  const { query, operationName } = request.method === 'GET' ? Object.fromEntries(url.searchParams) : JSON.parse(body);
  const operations = parse(query, { noLocation: true }).definitions.filter((one) => one.kind === 'OperationDefinition');
  const { selectionSet, operation } = operations.find((one) => one.name?.value === operationName) ?? operations[0];
  return { fields: selectionSet.selections.map((field) => field.name.value), isStream: operation === 'subscription' };
}

// What stands in for the server: a page of somebody's load balancer, and the server's own words.
export const unavailable = {
  status: 503, headers: { 'content-type': 'text/html' }, codes: ['503'],
  body: '<html><body><h1>503 Service Unavailable</h1></body></html>',
};

export const overloaded = (retryAfter) => ({
  status: 503, codes: ['OVERLOADED'],
  headers: { 'content-type': 'application/json', 'retry-after': String(retryAfter) },
  body: JSON.stringify({
    errors: [{ message: 'the server is busy', extensions: { code: 'OVERLOADED', retryAfter } }],
  }),
});
