import { action } from './action.ts';
import { deviceName } from './device.ts';
import { copy, every, part, put, text } from './dom.ts';
import { askAsUser, type Page } from './page.ts';
import { exact, relative } from './time.ts';

interface Session {
  id: string;
  lastUsedAt: string;
  address: string | null;
  userAgent: string | null;
  current: boolean;
}

const QUERY = '{ sessions { id lastUsedAt address userAgent current } }';
const END = 'mutation($id: ID!) { revokeSession(id: $id) }';
const MINUTE = 60_000;

/** Where one is logged in, with the means to change that. */
export function showSessions(page: Page, section: HTMLElement, signal: AbortSignal) {
  const title = part(section, 'h2');
  const status = part(section, '.done');
  const list = part(section, 'ul');
  const { button: again, fail } = action(section, '#reload', signal, load);

  async function load() {
    const { sessions } = (await askAsUser(page.auth, QUERY)) as { sessions: Session[] };
    if (document.activeElement === again) title.focus();
    again.hidden = true;
    put(status, null);
    sessions.sort((a, b) => Number(b.current) - Number(a.current));
    list.replaceChildren(...sessions.map(makeItem));
    tick();
  }

  function makeItem(session: Session) {
    const item = part(copy('session'), 'li');
    const device = deviceName(session.userAgent) ?? text('unknownDevice')!;
    for (const element of item.querySelectorAll('.device')) put(element, device);
    const time = part<HTMLTimeElement>(item, 'time');
    time.dateTime = session.lastUsedAt;
    time.title = exact(new Date(session.lastUsedAt), navigator.languages, 'short');
    if (session.address) put(part(item, '.address'), ` · ${session.address}`);
    const { button } = action(item, 'button', signal, async () => {
      await askAsUser(page.auth, END, { id: session.id });
      if (item.contains(document.activeElement)) title.focus();
      item.remove();
      put(status, text('ended', device));
    });
    (session.current ? button : part(item, '.badge')).remove();
    return item;
  }

  function tick() {
    for (const time of list.querySelectorAll('time')) {
      put(time, relative(new Date(time.dateTime), new Date()) ?? text('justNow'));
    }
  }

  // What has happened elsewhere is seen on coming back; not under somebody's fingers.
  const onVisible = () => {
    if (!document.hidden && !list.contains(document.activeElement)) void load().catch(() => {});
  };
  document.addEventListener('visibilitychange', onVisible, { signal });
  every(MINUTE, tick, signal);

  put(status, text('loading'));
  load().catch((error) => {
    if (signal.aborted) return;
    put(status, null);
    again.hidden = false;
    fail(error);
  });
  showEverywhere(page, section, signal);
}

/** Asks once more, in the page: it cannot be taken back. */
function showEverywhere(page: Page, section: HTMLElement, signal: AbortSignal) {
  const open = part(section, '#everywhere');
  const panel = part(section, '#confirm');
  const toggle = (on: boolean) => {
    panel.hidden = !on;
    open.hidden = on;
    (on ? part(panel, 'h3') : open).focus();
  };
  open.addEventListener('click', () => toggle(true));
  part(panel, '#no').addEventListener('click', () => toggle(false));
  panel.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') toggle(false);
  });
  action(panel, '#yes', signal, async () => {
    page.farewell = text('loggedOut'); // the view is another one before the number is known
    const count = await page.auth.revokeAll().finally(() => (page.farewell = null));
    page.say(text(count === 1 ? 'loggedOutOne' : 'loggedOutMany', `${count}`));
  });
}
