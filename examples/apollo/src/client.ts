import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { authFetch, createAuthClient } from "latchkey-client";

const url: string = import.meta.env.VITE_API_URL ?? "http://localhost:8080/graphql";

export const auth = createAuthClient({ url });
// watchSession(auth), of the same package, ends here within a second what was ended elsewhere.

export const client = new ApolloClient({
  cache: new InMemoryCache(),
  link: new HttpLink({ uri: url, fetch: authFetch(auth) }),
});
auth.onAuthChange(() => client.clearStore()); // the next user must not see the last one's data
