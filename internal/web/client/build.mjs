// Builds dist/, which is checked in, embedded in the binary and published: the same sources always
// give the same bytes. Needs Node 20 or newer and nothing but package-lock.json:
//
//	cd internal/web/client && npm ci && npm run build && npm test
//
import { build } from 'esbuild';
import { copyFile, rm } from 'node:fs/promises';

await rm('dist', { recursive: true, force: true });
await build({
  entryPoints: { 'auth-client': 'src/index.ts' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
});
await copyFile('src/auth-client.d.ts', 'dist/auth-client.d.ts');
