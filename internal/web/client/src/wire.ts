import type * as api from './auth-client.d.ts';

const ANSWER_WAIT = 10_000;

export class AuthError extends Error implements api.AuthError {
  declare readonly code: string;
  declare readonly reason?: string;
  declare readonly retryAfter?: number;
  constructor(message: string, extensions: { code: string; retryAfter?: number }) {
    super(message);
    Object.assign(this, extensions);
    this.name = 'AuthError';
  }
}

/** Sends an operation and answers its data, or rejects with an AuthError. */
export async function ask(
  url: string,
  query: string,
  variables: object,
  cookies: boolean,
  signal?: AbortSignal,
  send: typeof fetch = fetch,
): Promise<any> {
  // React Native knows neither timeout nor any.
  const limit = AbortSignal.timeout?.(ANSWER_WAIT);
  let response: Response | undefined;
  let answer;
  try {
    response = await send(url, {
      method: 'POST',
      credentials: cookies ? 'include' : 'omit',
      keepalive: true, // the answer's cookie arrives even if the page goes
      signal: signal && AbortSignal.any ? AbortSignal.any([limit, signal]) : (signal ?? limit),
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    answer = await response.json();
  } catch (error) {
    if (error instanceof AuthError) throw error; // of a refresh on the way
  }
  const error = answer?.errors?.[0];
  if (error?.extensions?.code) throw new AuthError(error.message, error.extensions);
  if (answer?.data) return answer.data;
  const retryAfter = Number(response?.headers.get('retry-after')) || undefined;
  throw new AuthError('The server cannot be reached.', { code: 'NETWORK_ERROR', retryAfter });
}
