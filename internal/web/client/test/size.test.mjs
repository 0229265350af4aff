import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

async function sizeOf(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: '.' }, bundle: true, minify: true, format: 'esm', target: 'es2022', write: false,
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

test('the core has under 150 lines and 2.5 KB, gzipped', async (t) => {
  const lines = (await readFile('src/client.ts', 'utf8')).split('\n').length;
  const core = await sizeOf("export { createAuthClient } from './src/client.ts'");
  const adapted = await sizeOf("export { createAuthClient } from './src/client.ts'; export { authFetch } from './src/fetch.ts'");
  const all = await sizeOf("export * from './src/index.ts'");
  t.diagnostic(`client.ts ${lines} lines; gzipped, the core ${core} B, with authFetch ${adapted} B, with watchSession ${all} B`);
  assert.ok(lines < 150);
  assert.ok(core <= 2.5 * 1024);
  assert.ok(all <= 3.6 * 1024);
});
