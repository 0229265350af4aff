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
	var quotes []string
	for line := range strings.Lines(string(out)) {
		trouble, quote, found := strings.Cut(strings.TrimSpace(line), ": ")
		if !found {
			t.Fatalf("%s: nothing is seen of it", trouble)
		}
		quotes = append(quotes, quote)
	}
	checkTroubles(t, quotes)
}

// otherTroubles are those that other tests provoke: what the README quotes, and what the test
// in a file says of it.
var otherTroubles = []struct{ quote, file, proof string }{
	{"return_to refused", "testdata/account.txtar", "log 'level=WARN msg=\"return_to refused"},
	{"That address is not allowed here", "internal/web/browser/account/return.mjs", "getByText('That address is not allowed here"},
	{"all users are limited together", "testdata/ratelimit.txtar", "comes from a proxy that LATCHKEY_TRUSTED_PROXIES does not name"},
	{"sealed under another master secret", "testdata/secret.txtar", "stderr 'sealed under another master secret"},
	{"not its master secret", "testdata/start.txtar", "stderr 'not its master secret"},
}

// checkTroubles compares the README's table of troubles with what was seen: each row quotes some
// of it, and all of it is quoted.
func checkTroubles(t *testing.T, quotes []string) {
	t.Helper()
	for _, other := range otherTroubles {
		content, err := os.ReadFile(other.file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), other.proof) {
			t.Errorf("%s no longer provokes %q", other.file, other.quote)
		}
		quotes = append(quotes, other.quote)
	}
	quoted := map[string]bool{}
	var rows int
	for line := range strings.Lines(section(t, "## When it does not work")) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what you see") {
			continue
		}
		rows++
		proven := false
		for _, quote := range quotes {
			if strings.Contains(line, quote) {
				proven, quoted[quote] = true, true
			}
		}
		if !proven {
			t.Errorf("no test provokes this row of the README: %s", line)
		}
	}
	if rows == 0 {
		t.Error("the README has no table of troubles")
	}
	for _, quote := range quotes {
		if !quoted[quote] {
			t.Errorf("the README does not quote %q", quote)
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
