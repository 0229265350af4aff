// The public face of the client; every error has a `code` to switch on.

/** Creates the client of one page or app: it holds the access token, and nobody else does. */
export function createAuthClient(options: AuthClientOptions): AuthClient;

/**
 * A `fetch` for Apollo's HttpLink, urql's Client, graphql-request, Relay or your own calls. It
 * attaches the access token, refreshes once when that is refused, and repeats the request once. The
 * token goes wherever it is called for: only to servers that may see it. Rejects with an
 * AuthError when the token had to be renewed and could not be.
 */
export function authFetch(auth: AuthClient): typeof globalThis.fetch;

/**
 * Listens to the server's `sessionEvents`, so that a session ended elsewhere is over here within a
 * second; of all tabs one listens. For browsers and Node; elsewhere it does nothing. Answers a
 * function that stops it.
 */
export function watchSession(auth: AuthClient): () => void;

export interface AuthClientOptions {
  /** The GraphQL endpoint: https://auth.example.com/graphql */
  url: string;
  /**
   * For apps and servers, which have no cookie jar: keeps the refresh token, and makes the client
   * ask for `delivery: BODY`. Not for browsers, where scripts could read it.
   */
  storage?: RefreshTokenStorage;
}

/** A safe place for a text: the key chain of a phone, a file that others cannot read. */
export interface RefreshTokenStorage {
  load(): string | null | undefined | Promise<string | null | undefined>;
  /** null: forget it. */
  save(refreshToken: string | null): void | Promise<void>;
}

export interface AuthClient {
  readonly url: string;
  /** Resolves when it is known who is signed in, or that the server cannot be asked; never rejects. */
  readonly ready: Promise<AuthState>;
  /** Another object after every change, the same one until then. */
  readonly state: AuthState;
  /** A living access token, renewed if need be; null when nobody is signed in. Rejects as refresh does. */
  getAccessToken(): Promise<string | null>;
  /** Renews access token and user. Rejects when the server cannot tell; the session stays. */
  refresh(): Promise<AuthState>;
  signUp(input: SignUpInput): Promise<User>;
  login(input: LoginInput): Promise<User>;
  /**
   * Always succeeds here and in the other tabs. A server that is away hears of it later: when the
   * network is back, or from the next page or start; a storage that fails is not emptied.
   */
  logout(): Promise<void>;
  /** Ends every session of the user, this one included; answers how many. */
  revokeAll(): Promise<number>;
  /**
   * Calls back when somebody else, or nobody, is signed in than before: the moment to drop what
   * was cached. Not for what a page finds when it loads. Answers a function that stops it.
   */
  onAuthChange(listener: (user: User | null) => void): () => void;
  /**
   * For React: useSyncExternalStore(auth.subscribe, () => auth.state), with the second argument
   * once more as the third where a server renders.
   */
  subscribe(listener: () => void): () => void;
}

export type AuthState =
  /** Not known yet; `error` says why, once the server has been asked in vain. */
  | { readonly status: 'unknown'; readonly user: null; readonly error: AuthError | null }
  | { readonly status: 'signedIn'; readonly user: User; readonly error: null }
  | { readonly status: 'signedOut'; readonly user: null; readonly error: null };

export interface User {
  id: string;
  email: string;
  emailVerified: boolean;
  name: string | null;
  roles: string[];
  /** RFC 3339 */
  createdAt: string;
}

export interface LoginInput {
  email: string;
  password: string;
}

export interface SignUpInput extends LoginInput {
  name?: string | null;
}

/** What the schema's ErrorCode has, what this client adds, and what newer servers may say. */
export type AuthErrorCode =
  | 'INVALID_CREDENTIALS' | 'BAD_USER_INPUT' | 'EMAIL_TAKEN' | 'SESSION_ENDED' | 'UNAUTHENTICATED' | 'FORBIDDEN'
  | 'REAUTHENTICATION_REQUIRED' | 'RATE_LIMITED' | 'OVERLOADED' | 'BAD_REQUEST' | 'GRAPHQL_PARSE_FAILED'
  | 'GRAPHQL_VALIDATION_FAILED' | 'INTERNAL' | 'NETWORK_ERROR' | 'STORAGE_ERROR'
  | (string & {});

export class AuthError extends Error {
  constructor(message: string, extensions: { code: AuthErrorCode; retryAfter?: number });
  /**
   * A value of the schema's ErrorCode; or NETWORK_ERROR: no answer, or none of this server; or
   * STORAGE_ERROR: the refresh token cannot be read or kept.
   */
  readonly code: AuthErrorCode;
  /** Seconds to wait, with RATE_LIMITED and OVERLOADED. */
  readonly retryAfter?: number;
  /** With BAD_USER_INPUT and EMAIL_TAKEN: every wrong input. */
  readonly fields?: { field: string; code: string; message: string }[];
  /** With UNAUTHENTICATED why; with SESSION_ENDED only CROSS_SITE, or in development what ended it. */
  readonly reason?: string;
  /** With INTERNAL: what the operator finds it in the log by. */
  readonly requestId?: string;
}
