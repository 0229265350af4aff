package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAccountPage lets a browser that reaches nothing but loopback do all that people do on the
// account page, in both directions, and look at each of its states with axe-core. With
// LATCHKEY_TEST_SCREENSHOTS it looks at all themes and sizes, and the pictures are in that directory.
func TestAccountPage(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Chromium: make test")
	}
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><title>App</title>The app`)
	}))
	t.Cleanup(app.Close)
	const appURL = "http://localhost:5173" // to the browser, so that pictures are the same every time
	server := &restartable{env: append(generous(), "LATCHKEY_ADDR=127.0.0.1:0",
		"LATCHKEY_DATA_DIR="+filepath.Join(t.TempDir(), "data"), "LATCHKEY_ALLOWED_ORIGINS="+appURL)}
	if err := server.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.stop)
	limited := serveAlone(t, "LATCHKEY_LIMIT_LOGIN_ADDRESS=1/50s")
	control := httptest.NewServer(server)
	t.Cleanup(control.Close)
	urls, err := json.Marshal(map[string]string{
		"server": server.url, "limited": limited.url, "app": appURL, "appAt": app.Listener.Addr().String(),
		"control": control.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	shots := os.Getenv("LATCHKEY_TEST_SCREENSHOTS")
	if shots == "" {
		shots = t.ArtifactDir()
	}
	cmd := exec.CommandContext(t.Context(), "node", "internal/web/browser/account.mjs", string(urls), shots)
	out, err := cmd.CombinedOutput()
	control.Close() // and what it started or stopped is done
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, server.log)
	}
}

// restartable is a server that goes away and comes back at the same address when it is told to:
// by POST /stop and POST /start.
type restartable struct {
	env []string
	*process
}

func (r *restartable) start() error {
	path, err := binary()
	if err != nil {
		return err
	}
	env := r.env
	if r.process != nil {
		env = append(env, "LATCHKEY_ADDR="+strings.TrimPrefix(r.url, "http://"))
	}
	p, err := start(path, env, &lockedBuffer{})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.log)
	}
	r.process = p
	return nil
}

func (r *restartable) stop() { r.kill() }

func (r *restartable) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/stop":
		r.stop()
	case "/start":
		if err := r.start(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	default:
		http.NotFound(w, req)
	}
}
