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
	tour := strings.Split(section(t, "## A tour of five minutes"), "// auth.js\n")
	if len(tour) != 2 {
		t.Fatal("the README shows no auth.js")
	}
	auth, rest, _ := strings.Cut(tour[1], "```")
	_, rest, found := strings.Cut(rest, "import { createClient }")
	if !found {
		t.Fatal("the README shows no watchSession")
	}
	watch, _, _ := strings.Cut(rest, "```")
	write(t, filepath.Join(dir, "auth.js"), "import { createClient }"+watch+auth)
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
