import type { AuthError } from '../../client/src/auth-client.d.ts';
import { copy, every, part, put, text } from './dom.ts';
import { duration } from './time.ts';

let count = 0;

/**
 * A button that asks something of the server: one thing at a time, and nothing before the server
 * wants to hear of it again. What goes wrong is said in the `.report` beside it. The button is
 * never `disabled`, which would take the focus away. All of it is over with the signal.
 */
export function action(scope: ParentNode, selector: string, signal: AbortSignal, work?: () => Promise<unknown>) {
  const button = part(scope, selector);
  const report = part(scope, '.report');
  report.append(copy('report'));
  const [alert, waiting, status] = [...report.children] as [HTMLElement, HTMLElement, HTMLElement];
  button.setAttribute('aria-describedby', (waiting.id = `wait-${++count}`));
  const label = [...button.childNodes];

  const block = (on: boolean) => (button.ariaDisabled = on ? 'true' : null);

  function countDown(seconds: number) {
    const over = performance.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((over - performance.now()) / 1000);
      put(waiting, left > 0 ? text('waitFor', duration(left)) : null);
      if (left > 0) return;
      stop();
      block(false);
      put(alert, null);
      put(status, text('waitOver'));
    };
    block(true);
    const stop = every(250, tick, signal); // a second may be late, but not skipped
    tick();
  }

  /** In plain words, for those who did not write the server. */
  function fail({ code, message, requestId, retryAfter }: AuthError) {
    put(alert, code ? (text(code, requestId) ?? message) : text('unexpected'));
    if (retryAfter) countDown(retryAfter);
  }

  /** The caller may have a way of its own to show an error, and then answers true. */
  async function run(work: () => Promise<unknown>, show?: (error: AuthError) => boolean) {
    if (button.ariaDisabled) return;
    block(true);
    put(button, button.dataset.busy!);
    put(alert, null);
    put(status, null);
    let error: AuthError | undefined;
    await work().catch((reason) => (error = reason));
    if (signal.aborted) return;
    button.replaceChildren(...label);
    block(false);
    if (!error || show?.(error)) return;
    if (!error.code) console.error(error);
    fail(error);
  }

  if (work) button.addEventListener('click', () => run(work));
  return { button, run, fail };
}
