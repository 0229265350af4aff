// Runs in the page: talks through the very instances of Apollo or urql that the app uses.

/* global document, window */

// ask runs operations at the same moment, and answers data and codes of each.
export async function ask(documents) {
  const module = await import('/client.js');
  const send = module.client ? apollo(module.client) : urql((window.__urql ??= module.makeClient()));
  return Promise.all(documents.map(send));

  function apollo(client) {
    return async ({ document, variables, isMutation }) => {
      try {
        const { data, error } = isMutation
          ? await client.mutate({ mutation: document, variables, errorPolicy: 'all' })
          : await client.query({ query: document, variables, fetchPolicy: 'network-only', errorPolicy: 'all' });
        return { data, codes: codes(error, error?.errors) };
      } catch (error) {
        return { data: null, codes: codes(error, error.errors) };
      }
    };
  }

  function urql(client) {
    return async ({ document, variables, isMutation }) => {
      const { data, error } = isMutation
        ? await client.mutation(document, variables).toPromise()
        : await client.query(document, variables, { requestPolicy: 'network-only' }).toPromise();
      return { data, codes: codes(error?.networkError, error?.graphQLErrors) };
    };
  }

  function codes(error, errors) {
    if (errors?.length > 0) return errors.map((one) => one.extensions?.code ?? one.message);
    return error ? [error.code ?? error.message] : [];
  }
}

// cached is all that the library of the app has in its memory, as text.
export async function cached(query) {
  const { client } = await import('/client.js');
  if (client) return JSON.stringify(client.extract());
  const own = providedClient();
  if (!own) return ''; // the app has none for nobody
  const { data } = await own.query(query, {}, { requestPolicy: 'cache-only' }).toPromise();
  return JSON.stringify(data ?? null);

  // The app keeps its urql client to itself: React knows which one it gives to its components.
  function providedClient() {
    const root = [...document.querySelectorAll('body *')].find((element) =>
      Object.keys(element).some((key) => key.startsWith('__reactContainer$')));
    const fibers = [root[Object.keys(root).find((key) => key.startsWith('__reactContainer$'))].stateNode.current];
    for (let fiber; (fiber = fibers.pop()); ) {
      const value = fiber.memoizedProps?.value;
      if (value?.executeQuery) return value;
      if (fiber.sibling) fibers.push(fiber.sibling);
      if (fiber.child) fibers.push(fiber.child);
    }
    return null;
  }
}
