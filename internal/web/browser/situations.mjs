// Proves in Chromium what an example survives, against a running server, through a proxy that
// delays, loses and counts:
//
//	npm ci && node situations.mjs ../../../examples/apollo settings.json
//
// settings.json: {"proxy": PORT, "app": PORT, "brief": URL, "lasting": URL, "ttl": SECONDS}. The
// servers are two over one database, whose public URL is http://localhost and the proxy's port,
// and which allow the origin http://localhost with the app's; access tokens of `brief` live for
// ttl seconds. CHROMIUM names the browser; SITUATION is a part of the names of those to try.
//
// Prints one line of JSON per situation, after "result ".
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

import { alone } from './lib/alone.mjs';
import { build, serve } from './lib/app.mjs';
import { executablePath, flags } from './lib/chromium.mjs';
import { faults } from './lib/faults.mjs';
import { privacy } from './lib/privacy.mjs';
import { startProxy } from './lib/proxy.mjs';
import { tabs } from './lib/tabs.mjs';
import { World } from './lib/world.mjs';

const LIMIT = 90_000; // of one situation

const [example, file] = process.argv.slice(2);
const { proxy: proxyPort, app: appPort, brief, lasting, ttl } = JSON.parse(await readFile(file, 'utf8'));

const directory = await mkdtemp(join(tmpdir(), 'situations-'));
await build(example, directory, `http://localhost:${proxyPort}/graphql`);
await serve(directory, appPort);
const proxy = await startProxy(proxyPort, lasting);
const browser = await chromium.launch({
  executablePath,
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
  args: flags,
});

let failed = 0;
for (const { name, outcome, refreshes, act } of [...alone, ...faults, ...tabs, ...privacy]) {
  if (!name.includes(process.env.SITUATION ?? '')) continue;
  const world = new World({ browser, proxy, ttl, app: `http://localhost:${appPort}`, servers: { brief, lasting } });
  const began = performance.now();
  let problem = null;
  try {
    await world.begin();
    await within(LIMIT, act(world));
    await world.settled();
    if (world.refreshes !== refreshes) problem = `${world.refreshes} refreshes, not ${refreshes}: ${proxy.story()}`;
  } catch (error) {
    problem = `${error.stack}\nthe proxy has seen: ${proxy.story()}`;
  }
  if (problem) {
    failed++;
    console.log(`FAILED  ${name}: ${problem}\n${await world.look()}`);
  } else {
    console.log(`result ${JSON.stringify({ name, outcome, refreshes: world.refreshes, ms: Math.round(performance.now() - began) })}`);
  }
  await world.end();
}
await browser.close();
await rm(directory, { recursive: true, force: true });
process.exit(failed > 0 ? 1 : 0);

function within(ms, promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${ms} ms`)), ms);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}
