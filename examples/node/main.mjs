// @ts-check
// A command that stays signed in: see README.md.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';

import { authFetch, createAuthClient } from 'latchkey-client';

import { fileStorage } from './file-storage.mjs';

const url = process.env.LATCHKEY_URL ?? 'http://localhost:8080/graphql';
const file = process.env.LATCHKEY_SESSION_FILE ?? join(homedir(), '.latchkey-session');

/** Not from the command line, which every user of the machine can read. */
async function readPassword() {
  if (process.env.LATCHKEY_PASSWORD) return process.env.LATCHKEY_PASSWORD;
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: process.stdin.isTTY });
  if (process.stdin.isTTY) process.stderr.write('Password: ');
  try {
    for await (const line of lines) return line;
    throw new Error('no password on standard input');
  } finally {
    lines.close();
  }
}

/** Attaches the access token, and renews it when it expires: with your own API as well. */
async function ask(/** @type {import('latchkey-client').AuthClient} */ auth, /** @type {string} */ query) {
  const headers = { 'content-type': 'application/json' };
  const answer = await authFetch(auth)(url, { method: 'POST', headers, body: JSON.stringify({ query }) });
  const { data, errors } = await answer.json();
  if (errors) throw new Error(errors[0].message);
  return data;
}

async function main(/** @type {string[]} */ [command, email]) {
  const auth = createAuthClient({ url, storage: fileStorage(file) });
  const { user } = await auth.refresh(); // rejects when the server cannot tell; the file stays
  if (command === 'login') {
    if (user) throw new Error(`signed in as ${user.email}: log out first`);
    const { email: name } = await auth.login({ email, password: await readPassword() });
    console.log(`Signed in as ${name}`);
  } else if (!user) {
    throw new Error('not signed in: node main.mjs login EMAIL');
  } else if (command === 'logout') {
    await auth.logout();
    console.log('Signed out');
  } else {
    const { sessions } = await ask(auth, '{ sessions { id lastUsedAt userAgent current } }');
    console.log(`Signed in as ${user.email}`);
    for (const { id, lastUsedAt, userAgent, current } of sessions) {
      console.log(id, lastUsedAt, userAgent, current ? '(this one)' : '');
    }
  }
}

function fail(/** @type {any} */ { message, retryAfter }) {
  console.error(message + (retryAfter ? ` Try again in ${retryAfter} seconds.` : ''));
  process.exitCode = 1;
}

const args = process.argv.slice(2);
if (/^(login [^ ]+|sessions|logout)$/.test(args.join(' '))) main(args).catch(fail);
else fail(new Error('usage: node main.mjs login EMAIL | sessions | logout'));
