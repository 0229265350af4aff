import { Kind, parse } from 'graphql';

const REFRESH = 'mutation { refresh { accessToken user { email } } }';
const ME = '{ me { email } }';
const STARTS = new Set(['signUp', 'login', 'refresh']);
const ENDS = new Set(['logout', 'revokeAll']);
const REFRESH_TIMEOUT = 10_000;
const SIGNED_OUT = { signedIn: false, email: null };

// A session signs the requests of one page. The access token lives in this closure and
// nowhere else; the refresh token is in a cookie which JavaScript never sees.
export function createSession(endpoint) {
  let token = null;
  // Until the server says otherwise there may be a session in the cookie.
  let mayHaveSession = true;
  let refreshing = null;
  let state = null; // not known yet
  const listeners = new Set();

  function show(next) {
    state = next;
    listeners.forEach((listener) => listener());
  }

  function signIn({ accessToken, user }) {
    token = accessToken;
    mayHaveSession = true;
    show({ signedIn: true, email: user?.email ?? null });
    if (!state.email) askEmail();
  }

  function signOut() {
    token = null;
    mayHaveSession = false;
    show(SIGNED_OUT);
  }

  async function askEmail() {
    const sent = token;
    const { data } = await post({ query: ME }).catch(() => ({}));
    if (data?.me && sent === token) show({ signedIn: true, email: data.me.email });
  }

  async function post(request, userHeaders, signal) {
    const headers = new Headers({
      Accept: 'application/graphql-response+json, application/json;q=0.9',
      'Content-Type': 'application/json',
    });
    if (token) headers.set('Authorization', `Bearer ${token}`);
    for (const [name, value] of Object.entries(userHeaders ?? {})) headers.set(name, value);

    const response = await fetch(endpoint, {
      method: 'POST',
      credentials: 'same-origin',
      headers,
      body: JSON.stringify(request),
      signal,
    });
    const body = await response.text();
    try {
      return JSON.parse(body);
    } catch {
      throw new Error(`The server answered ${response.status} without JSON.`);
    }
  }

  // Everyone who needs a new token at the same time waits for the same one.
  function refresh() {
    refreshing ??= renew().finally(() => {
      refreshing = null;
    });
    return refreshing;
  }

  // Only SESSION_ENDED ends a session. A server that is away, busy or broken does not.
  async function renew() {
    let answer;
    try {
      answer = await post({ query: REFRESH }, {}, AbortSignal.timeout(REFRESH_TIMEOUT));
    } catch {
      return;
    }
    if (answer.data?.refresh) signIn(answer.data.refresh);
    else if (hasCode(answer, 'SESSION_ENDED')) signOut();
  }

  async function fetcher(request, { headers } = {}) {
    await refreshing;
    const operation = readOperation(request);
    const sent = token;
    let answer = await post(request, headers);

    const ours = !Object.keys(headers ?? {}).some((name) => name.toLowerCase() === 'authorization');
    if (ours && mayHaveSession && hasCode(answer, 'UNAUTHENTICATED')) {
      // A refusal may arrive after another request has already renewed the token.
      if (token === sent) await refresh();
      if (token && token !== sent && operation.repeatable) answer = await post(request, headers);
    }

    // A refresh by hand found a session over: perhaps ours, perhaps that of its argument.
    if (hasCode(answer, 'SESSION_ENDED') && operation.fields.some(({ name }) => name === 'refresh')) await refresh();

    for (const { name, key } of operation.fields) {
      const value = answer.data?.[key];
      if (value == null) continue; // it failed, and changed nothing
      if (ENDS.has(name)) signOut();
      else if (STARTS.has(name) && value.accessToken) signIn(value);
      else if (STARTS.has(name)) {
        // Whoever asked for no token is signed in by cookie, perhaps as somebody else.
        token = null;
        mayHaveSession = true;
        await refresh();
      }
    }
    return answer;
  }

  return {
    fetcher,
    async resume() {
      await refresh();
      if (!state) show(SIGNED_OUT);
    },
    state: () => state,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function hasCode(answer, code) {
  return Boolean(answer.errors?.some((error) => error.extensions?.code === code));
}

// readOperation lists the root fields of the operation that will run, each with the key
// of its answer, and says whether running it again can do nothing twice: of a mutation
// with several fields, the first may have succeeded before another was refused.
function readOperation({ query, operationName }) {
  try {
    const document = parse(query);
    const operations = document.definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION);
    const operation = operations.find(({ name }) => !operationName || name?.value === operationName);
    const fields = rootFields(document, operation.selectionSet);
    return { fields, repeatable: operation.operation === 'query' || fields.length === 1 };
  } catch {
    return { fields: [], repeatable: false }; // the server says what is wrong with it
  }
}

function rootFields(document, { selections }) {
  return selections.flatMap((selection) => {
    switch (selection.kind) {
      case Kind.FIELD:
        return { name: selection.name.value, key: (selection.alias ?? selection.name).value };
      case Kind.INLINE_FRAGMENT:
        return rootFields(document, selection.selectionSet);
      default: {
        const fragment = document.definitions.find(
          ({ kind, name }) => kind === Kind.FRAGMENT_DEFINITION && name.value === selection.name.value,
        );
        return fragment ? rootFields(document, fragment.selectionSet) : [];
      }
    }
  });
}
