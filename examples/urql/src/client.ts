import { authFetch, createAuthClient } from "latchkey-client";
import { cacheExchange, Client, fetchExchange } from "urql";

const url: string = import.meta.env.VITE_API_URL ?? "http://localhost:8080/graphql";

export const auth = createAuthClient({ url });
// watchSession(auth), of the same package, ends here within a second what was ended elsewhere.

/** One for each user: the next must not see the last one's data. */
export const makeClient = () =>
  new Client({ url, fetch: authFetch(auth), exchanges: [cacheExchange, fetchExchange] });
