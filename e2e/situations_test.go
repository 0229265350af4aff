package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

var updateSituations = flag.Bool("update-situations", false, "write docs/situations.md")

const situationsDocument = "docs/situations.md"

// situation is what a browser survived, as internal/web/browser/situations.mjs tells it.
type situation struct {
	Name, Outcome string
	Refreshes     int
}

// TestSituations lets the examples live through everything that browsers, networks and other
// devices do to a session, and counts the refreshes: none that fails costs anybody the cookie.
// docs/situations.md says what comes of it:
//
//	LATCHKEY_TEST_BROWSER=1 go test ./e2e -run TestSituations -update-situations
func TestSituations(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Chromium: make test")
	}
	t.Parallel()
	libraries := []string{"apollo", "urql"}
	results := make([][]situation, len(libraries))
	t.Run("libraries", func(t *testing.T) {
		for i, library := range libraries {
			t.Run(library, func(t *testing.T) {
				t.Parallel()
				results[i] = survive(t, "examples/"+library)
			})
		}
	})
	if t.Failed() || len(results[0]) == 0 || len(results[1]) == 0 {
		return // -run may have chosen one library
	}
	table := situationsTable(t, libraries, results)
	if *updateSituations {
		if err := os.WriteFile(situationsDocument, []byte(table), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(situationsDocument)
	if err != nil {
		t.Fatal(err)
	}
	if string(is) != table {
		t.Fatalf("%s is not what the browser says; renew it with -update-situations", situationsDocument)
	}
}

// survive runs every situation with one example.
func survive(t *testing.T, example string) []situation {
	t.Helper()
	proxy, app := freePort(t), freePort(t)
	// Two over one database: so that a token expires in a situation when it should, and none does
	// because the machine is slow.
	env := []string{
		fmt.Sprintf("LATCHKEY_PUBLIC_URL=http://localhost:%d", proxy),
		fmt.Sprintf("LATCHKEY_ALLOWED_ORIGINS=http://localhost:%d", app),
		"LATCHKEY_DATA_DIR=" + filepath.Join(t.TempDir(), "data"),
	}
	brief := serveAlone(t, append(env, "LATCHKEY_ACCESS_TTL=3s")...)
	lasting := serveAlone(t, append(env, "LATCHKEY_ACCESS_TTL=15m")...)
	settings, err := json.Marshal(map[string]any{
		"proxy": proxy, "app": app, "brief": brief.url, "lasting": lasting.url, "ttl": 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "settings.json")
	write(t, file, string(settings))
	cmd := exec.CommandContext(t.Context(), "node", "internal/web/browser/situations.mjs", example, file)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	var found []situation
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "result "); ok {
			var s situation
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			found = append(found, s)
		}
	}
	return found
}

func situationsTable(t *testing.T, libraries []string, results [][]situation) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# What a browser survives

Written by ` + "`TestSituations`" + `: each row is a test in Chromium with the example of each library, against
the built server, through a proxy that delays, loses and counts. The number is that of refreshes; where
something happens twice, it is that of both times together.

| situation | what comes of it | ` + strings.Join(libraries, " | ") + ` |
|---|---|` + strings.Repeat("--:|", len(libraries)) + "\n")
	for i, s := range results[0] {
		fmt.Fprintf(&b, "| %s | %s |", s.Name, s.Outcome)
		for _, result := range results {
			if len(result) != len(results[0]) || result[i].Name != s.Name || result[i].Outcome != s.Outcome {
				t.Fatalf("%v and %v went through different situations", libraries, results)
			}
			fmt.Fprintf(&b, " %d |", result[i].Refreshes)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// freePort is one that nobody listens on, a moment ago. It lies below the range of outgoing
// connections, which would take it before the test does; and no other test has it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 20 {
		port := 20000 + rand.IntN(12000)
		if _, taken := ports.LoadOrStore(port, true); !taken && isFree(port) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

var ports sync.Map // those that freePort has tried

// isFree says whether nobody listens on a port at the addresses that localhost may mean.
func isFree(port int) bool {
	for _, host := range []string{"127.0.0.1", "::1"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
		if err == nil { // a machine without IPv6 has no ::1
			_ = listener.Close()
		}
	}
	return true
}
