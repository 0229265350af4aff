import { initGraphQLTada } from "gql.tada";
import type { introspection } from "./graphql-env.d.ts"; // from ../../schema.graphqls: npm run types

/** A document whose result and variables TypeScript knows. */
export const graphql = initGraphQLTada<{ introspection: introspection; scalars: { Time: string } }>();
