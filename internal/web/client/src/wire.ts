import type * as api from './auth-client.d.ts';

export const ANSWER_WAIT = 10_000;

export class AuthError extends Error implements api.AuthError {
  declare readonly code: api.AuthErrorCode;
  declare readonly reason?: string;
  declare readonly retryAfter?: number;
  constructor(message: string, extensions: { code: string; retryAfter?: number }) {
    super(message);
    Object.assign(this, extensions);
    this.name = 'AuthError';
  }
}

/** What a storage of the app's own throws has no code yet. */
export const asAuthError = (reason: unknown) =>
  reason instanceof AuthError ? reason : new AuthError(`${reason}`, { code: 'STORAGE_ERROR' });

/** Sends an operation and answers its data, or rejects with an AuthError. */
export async function ask(
  url: string,
  query: string,
  variables: object,
  cookies: boolean,
  token?: string | null,
): Promise<any> {
  let response: Response | undefined;
  let answer;
  try {
    response = await fetch(url, {
      method: 'POST',
      credentials: cookies ? 'include' : 'omit',
      keepalive: true, // the answer's cookie arrives even if the page goes
      signal: AbortSignal.timeout?.(ANSWER_WAIT), // React Native has a limit of its own
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query, variables }),
    });
    answer = await response.json();
  } catch {
    // no answer, or none of this server
  }
  const error = answer?.errors?.[0];
  if (error?.extensions?.code) throw new AuthError(error.message, error.extensions);
  if (answer?.data) return answer.data;
  const retryAfter = Number(response?.headers.get('retry-after')) || undefined;
  throw new AuthError('The server cannot be reached.', { code: 'NETWORK_ERROR', retryAfter });
}
