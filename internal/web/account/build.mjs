// Builds dist/, which is checked in and embedded in the binary: the same sources always give the
// same bytes. Needs Node 20 or newer and nothing but package-lock.json:
//
//	cd internal/web/account && npm ci && npm run build && npm test
//
import { build } from 'esbuild';
import { copyFile, rm } from 'node:fs/promises';

await rm('dist', { recursive: true, force: true });

await build({
  entryPoints: { account: 'src/main.ts' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  legalComments: 'none', // there is nobody else's code in it
});
await build({ entryPoints: ['account.css'], outdir: 'dist', minify: true });
await copyFile('index.html', 'dist/index.html');
await copyFile('icon.svg', 'dist/icon.svg');
