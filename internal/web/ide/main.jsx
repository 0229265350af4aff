import { GraphiQL } from 'graphiql';
import 'graphiql/style.css';
import { useSyncExternalStore } from 'react';
import { createRoot } from 'react-dom/client';

import './page.css';
import { createSession } from './session.js';
import { createStorage } from './storage.js';
import { query, variables } from './welcome.js';

const session = createSession('/graphql');
const storage = createStorage(localStorage);

function Status() {
  const state = useSyncExternalStore(session.subscribe, session.state);
  const text = state && (state.signedIn ? `Signed in as ${state.email ?? '…'}` : 'Not signed in');
  return (
    <span role="status" aria-live="polite" className="status" data-signed-in={state?.signedIn} title={text}>
      {text}
    </span>
  );
}

createRoot(document.getElementById('ide')).render(
  <GraphiQL
    fetcher={session.fetcher}
    storage={storage}
    shouldPersistHeaders={false}
    defaultQuery={query}
    variables={variables}
  >
    <GraphiQL.Logo>
      <Status />
    </GraphiQL.Logo>
  </GraphiQL>,
);

session.resume();
