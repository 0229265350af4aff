package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestTroubles provokes in Chromium what the README's table of troubles says of browsers, and
// checks that the table quotes what is seen.
func TestTroubles(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Chromium: make test")
	}
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(freePort(t))
	// Not generous: the limits are one of the troubles.
	p, err := start(path, []string{
		"LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_DATA_DIR=" + filepath.Join(t.TempDir(), "data"),
		"LATCHKEY_ALLOWED_ORIGINS=http://localhost:" + port + ",http://127.0.0.1:" + port,
	}, &lockedBuffer{})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	t.Cleanup(p.kill)
	cmd := exec.CommandContext(t.Context(), "node", "internal/web/browser/trouble.mjs", atLocalhost(p), port)
	out, err := cmd.Output()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	if !strings.Contains(p.log.String(), "origin refused") {
		t.Error("the log does not say which origin was refused")
	}
	table := section(t, "## When it does not work")
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 7 {
		t.Errorf("%d troubles", len(lines))
	}
	for _, line := range lines {
		trouble, seen, found := strings.Cut(line, ": ")
		if !found || !strings.Contains(table, seen) {
			t.Errorf("%s: the README does not quote %q", trouble, seen)
		}
	}
}

// TestReadmePage opens the README's page that imports the client from the server.
func TestReadmePage(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Chromium: make test")
	}
	t.Parallel()
	port := strconv.Itoa(freePort(t))
	p := serveAlone(t, "LATCHKEY_ALLOWED_ORIGINS=http://localhost:"+port)
	ada := &client{cookies: map[string]string{}}
	if _, codes := ask(t, ada, p, signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	file := filepath.Join(t.TempDir(), "page.html")
	write(t, file, block(t, section(t, "## Use it from your app"), "html"))
	cmd := exec.CommandContext(t.Context(), "node", "internal/web/browser/page.mjs", atLocalhost(p), port, file, "ada@example.com", "paper lantern quay")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, p.log)
	}
}

// atLocalhost is a server's address as browsers are told: 127.0.0.1 is another site.
func atLocalhost(p *process) string { return strings.Replace(p.url, "127.0.0.1", "localhost", 1) }
