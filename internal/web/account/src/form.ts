import type { AuthError } from '../../client/src/auth-client.d.ts';
import { action } from './action.ts';
import { part, put } from './dom.ts';

type Values = Record<string, string>;

/**
 * A form with one voice: the page says what is missing, the server all the rest, and the browser's
 * own bubbles are off. What was typed stays, whatever the server says.
 */
export function form(element: HTMLFormElement, signal: AbortSignal, act: (values: Values) => Promise<unknown>) {
  const { run } = action(element, 'button:not([type])', signal);
  const inputs = [...element.querySelectorAll('input')];
  const secret = inputs.find((input) => input.type === 'password');
  const toggle = secret && makeToggle(element, secret);

  function mark(input: HTMLInputElement, message: string) {
    put(part(element, `#${input.id}-error`), message);
    input.ariaInvalid = message ? 'true' : 'false';
  }

  /** Shows the mistakes at their fields and goes to the first; true if all have a field here. */
  function complain(mistakes: { field: string; message: string }[]): boolean {
    const homeless = mistakes.filter(({ field, message }) => {
      const input = inputs.find(({ name }) => name === field);
      if (input) mark(input, message);
      return !input;
    });
    inputs.find((input) => input.ariaInvalid === 'true')?.focus();
    return mistakes.length > homeless.length && !homeless.length;
  }

  function show(error: AuthError): boolean {
    if (error.code === 'INVALID_CREDENTIALS') secret?.select();
    return complain(error.fields ?? []);
  }

  async function send() {
    toggle?.(false); // as text it might be remembered among other texts
    for (const input of inputs) mark(input, '');
    const missing = inputs.filter(({ value, dataset }) => dataset.missing && !value);
    if (missing.length) return complain(missing.map(({ name, dataset }) => ({ field: name, message: dataset.missing! })));
    await act(Object.fromEntries(inputs.map(({ name, value }) => [name, value])));
  }

  for (const input of inputs) mark(input, '');
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    void run(send, show);
  });
}

function makeToggle(element: HTMLFormElement, input: HTMLInputElement) {
  const button = part(element, '.toggle');
  const show = (on: boolean) => {
    input.type = on ? 'text' : 'password';
    part(button, ':nth-child(1)').hidden = on;
    part(button, ':nth-child(2)').hidden = !on;
  };
  button.addEventListener('click', () => show(input.type === 'password'));
  return show;
}
