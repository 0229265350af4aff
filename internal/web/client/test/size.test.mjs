import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

test('the core has under 150 lines and, with all that it needs, 2.5 KB', async (t) => {
  const lines = (await readFile('src/client.ts', 'utf8')).split('\n').length;
  const { outputFiles } = await build({
    stdin: { contents: "export { createAuthClient } from './src/client.ts'; export { authFetch } from './src/fetch.ts'", resolveDir: '.' },
    bundle: true, minify: true, format: 'esm', target: 'es2022', write: false,
  });
  const core = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  const all = gzipSync(await readFile('dist/auth-client.js'), { level: 9 }).length;
  t.diagnostic(`client.ts ${lines} lines; core and authFetch ${core} B, all ${all} B, gzipped`);
  assert.ok(lines < 150);
  assert.ok(core <= 2.5 * 1024);
  assert.ok(all <= 3 * 1024);
});
