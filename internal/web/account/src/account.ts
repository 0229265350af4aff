import { action } from './action.ts';
import { part, put, text } from './dom.ts';
import { form } from './form.ts';
import { askAsUser, type Page, type View } from './page.ts';
import { showSessions } from './sessions.ts';
import { exact } from './time.ts';

const UPDATE = 'mutation($name: String) { updateProfile(name: $name) { name } }';

/** Everything about one's own account: a section each, for more to come. */
export const accountView: View = (page, view, signal) => {
  const updates = [showWho(page, part(view, '#who'), signal), showProfile(page, part(view, 'form'), signal)];
  showSessions(page, part(view, '#devices'), signal);
  return () => updates.forEach((update) => update());
};

function showWho(page: Page, section: HTMLElement, signal: AbortSignal) {
  const { auth } = page;
  action(section, '#log-out', signal, () => {
    page.farewell = text('loggedOut');
    return auth.logout();
  });
  function update() {
    const { name, email, createdAt } = auth.state.user!;
    put(part(section, '#called'), name || email);
    put(part(section, '#address'), name && email);
    put(part(section, '#since'), exact(new Date(createdAt), navigator.languages));
  }
  update();
  return update;
}

function showProfile({ auth }: Page, element: HTMLFormElement, signal: AbortSignal) {
  const input = part<HTMLInputElement>(element, '#name');
  const status = part(element, '#saved');
  let saved = '';
  /** What is being typed is not taken away by what another tab has saved. */
  function update() {
    const name = auth.state.user!.name ?? '';
    if (input.value === saved) input.value = name;
    saved = name;
  }
  form(element, signal, async ({ name }) => {
    put(status, null);
    const { updateProfile } = await askAsUser(auth, UPDATE, { name });
    input.value = saved = updateProfile.name ?? '';
    put(status, text('saved'));
    // The client, and with it the other tabs, learn the name with the next token.
    await auth.refresh().catch(() => {});
  });
  input.addEventListener('input', () => put(status, null));
  update();
  return update;
}
