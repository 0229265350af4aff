// Drives the account page of running servers in Chromium, as its visitors would. e2e/account_test.go
// starts the servers and says where they are:
//
//	npm ci && node account.mjs '{"server": …, "limited": …, "app": …, "appAt": …, "control": …}' /tmp/screenshots
//
// The browser reaches the app, of which it knows the address "app", at the address "appAt". CHROMIUM
// names the browser (default /usr/bin/chromium). With LATCHKEY_TEST_SCREENSHOTS there is a picture of
// every state, and axe-core looks at each theme and size; otherwise the only picture is of a failure.
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
