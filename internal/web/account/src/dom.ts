// The page's words and elements stand in index.html, in <template>s. What varies is put in as text
// and never as markup: Trusted Types forbid the rest.

const template = (id: string) => document.querySelector<HTMLTemplateElement>(`template#${id}`)!.content;

/** A fresh copy of a template. */
export const copy = (id: string) => document.importNode(template(id), true);

/** The element that there has to be. */
export function part<E extends HTMLElement = HTMLElement>(of: ParentNode, selector: string): E {
  return of.querySelector<E>(selector)!;
}

/** What the page says, or null; {} is the place of the value. */
export function text(id: string, value = ''): string | null {
  return template('texts').getElementById(id)?.textContent.replace('{}', () => value) ?? null;
}

/** Puts text in the place of what the element held; null is nothing. */
export function put(element: Node, text: string | null) {
  element.textContent = text;
}

/** Repeats something until the signal, or until what it answers is called. */
export function every(milliseconds: number, act: () => void, signal: AbortSignal) {
  const timer = signal.aborted ? undefined : setInterval(act, milliseconds);
  const stop = () => clearInterval(timer);
  signal.addEventListener('abort', stop);
  return stop;
}
