// Uses the README's page without a bundler as a person would: it asks for an address and a
// password, and shows who one is; after a reload it need not ask.
//
//	npm ci && node page.mjs http://localhost:8080 5173 page.html ada@example.com 'her password'
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

import { openChromium } from './lib/chromium.mjs';

const [api, port, file, email, password] = process.argv.slice(2);
const html = (await readFile(file, 'utf8')).replaceAll('http://localhost:8080', api);
const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(html));
server.listen(Number(port), '127.0.0.1');
await once(server, 'listening');

const { context, close } = await openChromium();
try {
  const page = await context.newPage();
  let asked = 0;
  page.on('dialog', (dialog) => {
    asked++;
    return dialog.accept(dialog.message() === 'Email' ? email : password);
  });
  await page.goto(`http://localhost:${port}`);
  const says = page.locator('#says', { hasText: email });
  await says.waitFor();
  assert.equal(asked, 2);
  await page.reload();
  await says.waitFor();
  assert.equal(asked, 2);
} finally {
  await close();
}
process.exit(0);
