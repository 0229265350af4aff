// problems tells in a few words what is wrong with an answer as the result pane shows it,
// or nothing if it succeeded. What is no answer of the server at all, such as a complaint
// of GraphiQL, is wrong too.
export function problems(text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    return 'Error';
  }
  if (answer?.data !== undefined && !answer.errors) return '';
  const codes = new Set((answer?.errors ?? []).map((error) => error.extensions?.code).filter(Boolean));
  return codes.size ? `Error: ${[...codes].join(', ')}` : 'Error';
}
