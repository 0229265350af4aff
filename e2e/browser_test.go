package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// browserVariable is set where Chromium, Node and the packages of internal/web/browser are.
const browserVariable = "LATCHKEY_TEST_BROWSER"

// TestIDE lets a browser that reaches nothing but loopback sign up in the IDE, reload, and
// wait for its access token to expire.
func TestIDE(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Chromium: make test")
	}
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_DATA_DIR=" + filepath.Join(t.TempDir(), "data"),
		"LATCHKEY_ACCESS_TTL=5s",
	}
	p, err := start(path, env, t.Output())
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	defer p.kill()
	shots := t.ArtifactDir()
	cmd := exec.CommandContext(t.Context(), "node", "internal/web/browser/ide.mjs", p.url, shots)
	cmd.Env = append(os.Environ(), "ACCESS_TTL_SECONDS=5")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
}
