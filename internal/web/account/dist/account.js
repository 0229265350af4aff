import { createAuthClient } from '/auth-client.js';

const state = document.getElementById('state');
createAuthClient({ url: '/graphql' }).refresh().then(
  () => { state.textContent = 'You are signed in.'; },
  (error) => { state.textContent = error.code === 'SESSION_ENDED' ? 'You are not signed in.' : error.message; },
);
