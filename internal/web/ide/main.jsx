import { useEditorContext, useExecutionContext } from '@graphiql/react';
import { GraphiQL } from 'graphiql';
import 'graphiql/style.css';
import { useCallback, useEffect, useSyncExternalStore } from 'react';
import { createRoot } from 'react-dom/client';

import { problems } from './answer.js';
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

// A line above the answer: what to do until there is one, and what is wrong with it.
function Answer() {
  useWrappedLines();
  const state = useSyncExternalStore(session.subscribe, session.state);
  const { isFetching } = useExecutionContext();
  const { responseEditor } = useEditorContext();
  const subscribe = useCallback(
    (listener) => {
      responseEditor?.on('change', listener);
      return () => responseEditor?.off('change', listener);
    },
    [responseEditor],
  );
  const answer = useSyncExternalStore(subscribe, () => responseEditor?.getValue());

  if (isFetching || answer === undefined) return null;
  if (!answer) return <p className="hint">Press the play button and choose {state?.signedIn ? 'Me' : 'SignUp'}.</p>;
  const text = problems(answer);
  return text && <p className="problems">{text}</p>;
}

// GraphiQL has no option for this, and wraps only the answer.
function useWrappedLines() {
  const { queryEditor, variableEditor, headerEditor, responseEditor } = useEditorContext();
  useEffect(() => {
    const editors = [queryEditor, variableEditor, headerEditor, responseEditor].filter(Boolean);
    editors.forEach((editor) => editor.setOption('lineWrapping', true));
    // CodeMirror itself watches the size of the window only.
    const observer = new ResizeObserver(() => editors.forEach((editor) => editor.refresh()));
    editors.forEach((editor) => observer.observe(editor.getWrapperElement()));
    return () => observer.disconnect();
  }, [queryEditor, variableEditor, headerEditor, responseEditor]);
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
      <span>Latchkey</span>
      <Status />
    </GraphiQL.Logo>
    <GraphiQL.Footer>
      <Answer />
    </GraphiQL.Footer>
  </GraphiQL>,
);

session.resume();
