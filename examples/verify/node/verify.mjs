// Verifies the access tokens of Latchkey by what the server publishes.
import { setTimeout as sleep } from 'node:timers/promises';

import { createRemoteJWKSet, jwtVerify } from 'jose';

const issuer = process.env.ISSUER ?? 'http://localhost:8080'; // the server's public URL
const algorithms = ['ES256', 'EdDSA'];

/** It is not known at the moment who this is: says nothing of the token. */
export class Unknown extends Error {}

// The keys are fetched with the feed; for an unknown one again, once a second at most.
const published = createRemoteJWKSet(new URL(issuer + '/.well-known/jwks.json'), { cooldownDuration: 1000 });
const keys = (header, token) =>
  published(header, token).catch((error) => {
    const isOfTheToken = /_MATCHING_KEYS?$/.test(error.code); // none, or without kid too many
    throw isOfTheToken ? error : new Unknown('the keys cannot be fetched', { cause: error });
  });

let ended = new Set(); // sessions
let goodUntil = 0;
let tag = '';

// verify answers what a good access token says.
export async function verify(accessToken) {
  if (Date.now() > goodUntil) throw new Unknown('the copy of the revocation feed is too old');
  const { payload } = await jwtVerify(accessToken, keys, {
    issuer, audience: issuer, algorithms, typ: 'at+jwt', requiredClaims: ['exp', 'sub', 'sid'],
  });
  if (ended.has(payload.sid)) throw new Error('the session has ended');
  return payload;
}

async function poll() {
  await published.reload();
  const signal = AbortSignal.timeout(5000);
  const answer = await fetch(issuer + '/revocations', { headers: { 'if-none-match': tag }, signal });
  if (answer.status === 304) return; // nothing new
  if (answer.status !== 200) throw new Error(`/revocations: ${answer.status}`);
  const { payload } = await jwtVerify(await answer.text(), keys, {
    issuer, algorithms, typ: 'revocations+jwt', requiredClaims: ['exp', 'sids'],
  });
  ended = new Set(payload.sids);
  goodUntil = payload.exp * 1000;
  tag = answer.headers.get('etag') ?? '';
}

(async () => {
  for (;;) {
    await poll().catch((error) => console.error('the last copy is good until it expires:', error.message));
    await sleep(3000, undefined, { ref: false }); // keeps no process alive
  }
})();
