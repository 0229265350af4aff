package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestAudits asks the built server what GraphQL over HTTP asks of one: every MUST, SHOULD and
// MAY of the audits of npm graphql-http.
func TestAudits(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Node: make test")
	}
	const all = 61
	for name, mode := range map[string]struct {
		env    []string
		refuse string // the audits that ask for the schema, where it is not told
	}{
		"development": {},
		"production": {[]string{"LATCHKEY_PUBLIC_URL=https://auth.example.com", "LATCHKEY_SECRET=" + strings.Repeat("0123456789abcdef", 4)},
			"2EA1 28B9 D6D5 6A70"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serveAlone(t, mode.env...)
			cmd := exec.CommandContext(t.Context(), "node", "internal/web/browser/audits.mjs", p.url+"/graphql")
			cmd.Stderr = t.Output()
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			passed, refused := map[string]int{}, 0
			for line := range strings.Lines(string(out)) {
				var audit struct{ ID, Name, Status, Reason string }
				if err := json.Unmarshal([]byte(line), &audit); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				level, _, _ := strings.Cut(audit.Name, " ")
				switch {
				case audit.Status == "ok":
					passed[level]++
				case strings.Contains(mode.refuse, audit.ID):
					refused++
				default:
					t.Errorf("%s %s: %s: %s", audit.Status, audit.ID, audit.Name, audit.Reason)
				}
			}
			n := passed["MUST"] + passed["SHOULD"] + passed["MAY"]
			t.Logf("%d audits passed: %v; %d ask for the schema", n, passed, refused)
			if want := all - len(strings.Fields(mode.refuse)); n < want {
				t.Errorf("%d audits passed, want %d", n, want)
			}
		})
	}
}
