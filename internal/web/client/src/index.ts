import type * as api from './auth-client.d.ts';
import { createAuthClient } from './client.ts';
import { authFetch } from './fetch.ts';
import { watchSession } from './watch.ts';
import { AuthError } from './wire.ts';

export { AuthError, authFetch, createAuthClient, watchSession };

// What is promised is what is there.
({ AuthError, authFetch, createAuthClient, watchSession }) satisfies typeof api;
