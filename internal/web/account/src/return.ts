import { put } from './dom.ts';

/** Where the page was asked to lead: somewhere, somewhere that it does not lead to, or nowhere. */
export interface Return {
  to: URL | null;
  refused: string | null;
}

/**
 * Reads what the server has put into the page. The server decides which origins are allowed; that
 * nothing but a web page is led to is checked here as well.
 */
export function readReturn(to: string | null, refused: string | null): Return {
  if (refused !== null || to === null) return { to: null, refused };
  const url = URL.canParse(to) ? new URL(to) : null;
  return url && /^https?:$/.test(url.protocol) ? { to: url, refused } : { to: null, refused: to };
}

/** Keeps of the view what fits, and says where it leads. */
export function showReturn({ to, refused }: Return, view: ParentNode) {
  const kind = to ? 'to' : refused === null ? '' : 'refused';
  for (const element of view.querySelectorAll<HTMLElement>('[data-return]')) {
    if (element.dataset.return !== kind) element.remove();
  }
  for (const element of view.querySelectorAll('.where')) put(element, to?.host ?? refused);
  for (const link of view.querySelectorAll<HTMLAnchorElement>('a.primary')) link.href = to!.href;
}
