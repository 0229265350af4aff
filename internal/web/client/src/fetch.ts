import type { AuthClient } from './auth-client.d.ts';

export function authFetch(auth: AuthClient): typeof fetch {
  // The last user that was known: a page that comes back from a freeze is still this one's.
  let known = auth.state.user?.id;
  auth.subscribe(() => {
    if (auth.state.status !== 'unknown') known = auth.state.user?.id;
  });

  return async (input, init = {}) => {
    let user = known;
    /** The token, unless it is somebody else's by now: nothing of one user runs as another. */
    const own = async () => {
      const token = await auth.getAccessToken();
      return auth.state.user?.id === (user ??= auth.state.user?.id) ? token : null;
    };
    const used = await own();
    const send = (token: string | null) => {
      const headers = new Headers(init.headers ?? (input as Request).headers); // a string has none
      if (token) headers.set('authorization', `Bearer ${token}`);
      const credentials = String(input) === auth.url ? 'include' : undefined;
      return fetch(input instanceof Request ? input.clone() : input, { credentials, ...init, headers });
    };
    const answer = await send(used);
    if (!used || !(await refused(answer, init.body ?? (input as Request).body))) return answer;
    // Late refusals find that somebody has renewed the token already.
    if ((await own()) === used) await auth.refresh();
    const token = await own();
    return token ? send(token) : answer;
  };
}

/** Whether the token was refused and nothing has happened, so that the request may be repeated. */
async function refused(answer: Response, body: unknown) {
  if (answer.status === 401) return true;
  if (!answer.headers.get('content-type')?.includes('json')) return false; // streams and downloads
  const text = await answer.clone().text();
  if (!text.includes('UNAUTHENTICATED')) return false;
  const { data, errors } = JSON.parse(text);
  const hasRun = Object.values(data ?? {}).some((value) => value !== null);
  // What does not show that it is a query, such as a stream or a persisted document, may be a mutation.
  const isQuery = !body || (/"query"/.test(`${body}`) && !/mutation/.test(`${body}`));
  if (hasRun && !isQuery) return false;
  return errors?.some((error: any) => error.extensions?.code === 'UNAUTHENTICATED');
}
