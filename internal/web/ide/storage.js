const PREFERENCES = new Set([
  'graphiql:theme',
  'graphiql:visiblePlugin',
  'graphiql:docExplorerFlex',
  'graphiql:editorFlex',
  'graphiql:secondaryEditorFlex',
]);

// GraphiQL stores queries, variables and a history of both, and people type passwords
// into them. Only the preferences above reach the disk; all else, whatever a later
// GraphiQL may add, lives until the page is closed.
export function createStorage(disk) {
  const memory = new Map();
  return {
    getItem: (key) => (PREFERENCES.has(key) ? disk.getItem(key) : memory.get(key) ?? null),
    setItem: (key, value) => (PREFERENCES.has(key) ? disk.setItem(key, value) : memory.set(key, value)),
    removeItem: (key) => (PREFERENCES.has(key) ? disk.removeItem(key) : memory.delete(key)),
    clear() {
      PREFERENCES.forEach((key) => disk.removeItem(key));
      memory.clear();
    },
    get length() {
      return memory.size;
    },
  };
}
