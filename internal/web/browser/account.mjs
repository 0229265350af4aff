// Drives the account page of running servers in Chromium, as its visitors would. e2e/account_test.go
// starts the servers and says where they are:
//
//	npm ci && node account.mjs '{"server": …, "limited": …, "app": …, "control": …}' /tmp/screenshots
//
// CHROMIUM names the browser (default /usr/bin/chromium).
import { mkdir } from 'node:fs/promises';

const [urls, screenshots] = process.argv.slice(2);
if (!screenshots) {
  console.error('usage: node account.mjs URLS SCREENSHOT_DIR');
  process.exit(2);
}
JSON.parse(urls);
await mkdir(screenshots, { recursive: true });

const { close } = await import('./account/world.mjs');
await import('./account/signin.mjs');
await import('./account/sessions.mjs');
await import('./account/tabs.mjs');
await import('./account/return.mjs');
await import('./account/trouble.mjs');
await close();
