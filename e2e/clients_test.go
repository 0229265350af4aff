package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStockClients lets graphql-sse and urql, with the code that the README shows, listen to
// streams.
func TestStockClients(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Node and packages: make test")
	}
	t.Parallel()
	dir := t.TempDir()
	auth := block(t, section(t, "## Use it from your app"), "js")
	if lines := strings.Count(auth, "\n"); lines > 25 {
		t.Errorf("auth.js has %d lines, the README promises 25", lines)
	}
	write(t, filepath.Join(dir, "auth.js"), auth)
	write(t, filepath.Join(dir, "package.json"), `{"type": "module"}`)
	packages, err := filepath.Abs("internal/web/browser/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	p := serveAlone(t, "LATCHKEY_PUBLIC_URL=http://localhost:8080", "LATCHKEY_ACCESS_TTL=5s")
	cmd := exec.CommandContext(t.Context(), "node", "internal/web/browser/clients.mjs", p.url, dir)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
}
