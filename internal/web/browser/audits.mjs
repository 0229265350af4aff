// Prints a line of JSON for each audit of graphql-http against a server:
//
//	npm ci && node audits.mjs http://localhost:8080/graphql
import { auditServer } from 'graphql-http';

const [url] = process.argv.slice(2);
if (!url) {
  console.error('usage: node audits.mjs URL');
  process.exit(2);
}
for (const { id, name, status, reason } of await auditServer({ url })) {
  console.log(JSON.stringify({ id, name, status, reason }));
}
