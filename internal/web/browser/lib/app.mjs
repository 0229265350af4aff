// Builds one of the examples as it is, with its module of the client as an entry of its own: so
// that `await import('/client.js')` in the page gives what the app itself uses. Serves the result.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

export async function build(root, outDir, api) {
  const vite = await import(pathToFileURL(createRequire(join(resolve(root), 'package.json')).resolve('vite')));
  process.env.VITE_API_URL = api;
  await vite.build({
    root,
    logLevel: 'warn',
    build: {
      outDir,
      emptyOutDir: true,
      rollupOptions: {
        input: { index: join(resolve(root), 'index.html'), client: join(resolve(root), 'src/client.ts') },
        preserveEntrySignatures: 'strict',
        output: { entryFileNames: '[name].js' },
      },
    },
  });
}

// Nothing here forbids the back-forward cache, unlike `no-store`.
export async function serve(directory, port) {
  const server = http.createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://app');
    if (pathname === '/away') {
      response.writeHead(200, { 'content-type': 'text/html' });
      return response.end('<!doctype html><title>Elsewhere</title><p>Elsewhere</p>');
    }
    const file = join(directory, pathname === '/' ? 'index.html' : pathname);
    const found = await stat(file).catch(() => null);
    if (!found?.isFile()) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-cache' });
    return createReadStream(file).pipe(response);
  });
  await new Promise((ready) => server.listen(port, 'localhost', ready));
  return server;
}
