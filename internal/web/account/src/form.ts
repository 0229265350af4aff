import type { AuthError } from '../../client/src/auth-client.d.ts';
import { action } from './action.ts';
import { part, put } from './dom.ts';

type Values = Record<string, string>;

/**
 * A form with one voice: the page says what is missing, the server all the rest, and the browser's
 * own bubbles are off. What was typed stays, whatever the server says.
 */
export function form(form: HTMLFormElement, signal: AbortSignal, act: (values: Values) => Promise<unknown>) {
  const { run } = action(form, 'button:not([type])', signal);
  const inputs = [...form.querySelectorAll('input')];
  const secret = inputs.find((input) => input.type === 'password');
  const toggle = secret && makeToggle(form, secret);

  function mark(input: HTMLInputElement, message: string) {
    put(part(form, `#${input.id}-error`), message);
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
    if (secret) secret.value = '';
  }

  for (const input of inputs) mark(input, '');
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void run(send, show);
  });
}

function makeToggle(form: HTMLFormElement, input: HTMLInputElement) {
  const button = part(form, '.toggle');
  const show = (on: boolean) => {
    input.type = on ? 'text' : 'password';
    part(button, ':nth-child(1)').hidden = on;
    part(button, ':nth-child(2)').hidden = !on;
  };
  button.addEventListener('click', () => show(input.type === 'password'));
  return show;
}
