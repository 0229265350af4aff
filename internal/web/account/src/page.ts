import type { AuthClient } from '../../client/src/auth-client.d.ts';
import { ask } from '../../client/src/wire.ts';
import type { Return } from './return.ts';

/** What the views share. */
export interface Page {
  auth: AuthClient;
  back: Return;
  /** The email address survives the switch between logging in and signing up, but no session. */
  email: string;
  /** Whether this tab is signing in at the moment: then it goes back by itself. */
  isSigningIn: boolean;
  /** What to say when the user is gone, if this tab knows why. */
  farewell: string | null;
  /** Says something about the whole page, at its top. */
  say(text: string | null): void;
}

/**
 * Makes a copy of its template live. Whatever lives on ends with the signal. Answers what to do
 * when the state has changed, and it is still the same view of the same user.
 */
export type View = (page: Page, view: ParentNode, signal: AbortSignal) => void | (() => void);

/** Asks as the user of the view, and as nobody else; rejects with an AuthError. */
export async function askAsUser(auth: AuthClient, query: string, variables: object = {}): Promise<any> {
  const user = auth.state.user?.id;
  const attempt = async () => {
    const token = await auth.getAccessToken();
    return ask(auth.url, query, variables, true, auth.state.user?.id === user ? token : null);
  };
  return attempt().catch(async (error) => {
    if (error.code !== 'UNAUTHENTICATED') throw error;
    await auth.refresh();
    return attempt();
  });
}
