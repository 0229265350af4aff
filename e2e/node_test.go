package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNodeExample runs examples/node as its README says: each command is a process of its own.
func TestNodeExample(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Node and packages: make test")
	}
	t.Parallel()
	f := newFront(t)
	s := newSite(t, "sqlite", "LATCHKEY_PUBLIC_URL="+f.url, "LATCHKEY_ACCESS_TTL=3s", "LATCHKEY_REFRESH_GRACE=1s")
	p := serveAlone(t, s.env...)
	f.serve(p.url)
	n := &nodeExample{t: t, front: f, server: p, file: filepath.Join(t.TempDir(), "session")}
	if _, codes := ask(t, &client{}, p, signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	n.signsIn()
	n.staysSignedIn()
	n.sharesItsFile()
	n.needsTheServer()
	n.signsOut()
	n.hearsOfTheEnd()
}

type nodeExample struct {
	t      *testing.T
	front  *front
	server *process
	file   string
}

// begin starts a command, and answers how to wait for what it says.
func (n *nodeExample) begin(password string, args ...string) (wait func() (string, bool)) {
	n.t.Helper()
	cmd := exec.CommandContext(n.t.Context(), "node", append([]string{"examples/node/main.mjs"}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LATCHKEY_URL=" + n.front.url + "/graphql", "LATCHKEY_SESSION_FILE=" + n.file}
	cmd.Stdin = strings.NewReader(password + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	return func() (string, bool) {
		err := cmd.Wait()
		return out.String(), err == nil
	}
}

// run fails unless a command succeeds, or does not, and says something.
func (n *nodeExample) run(ok bool, says, password string, args ...string) {
	n.t.Helper()
	n.check(n.begin(password, args...), ok, says, args...)
}

func (n *nodeExample) check(wait func() (string, bool), ok bool, says string, args ...string) {
	n.t.Helper()
	out, succeeded := wait()
	if succeeded != ok || !strings.Contains(out, says) || strings.Contains(out, "    at ") {
		n.t.Fatalf("%v: %v, %s", args, succeeded, out)
	}
}

// token is what the file holds.
func (n *nodeExample) token() string {
	n.t.Helper()
	text, err := os.ReadFile(n.file)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

func (n *nodeExample) wantNoFile() {
	n.t.Helper()
	if left, err := os.ReadDir(filepath.Dir(n.file)); err != nil || len(left) > 0 {
		n.t.Errorf("%v, %v", left, err)
	}
}

func (n *nodeExample) login() {
	n.t.Helper()
	n.run(true, "Signed in as ada@example.com\n", "paper lantern quay", "login", "ada@example.com")
}

func (n *nodeExample) signsIn() {
	n.run(false, "usage", "")
	n.run(false, "usage", "", "login", "ada@example.com", "paper lantern quay")
	n.run(false, "login EMAIL", "", "sessions")
	n.run(false, "password", "a wrong guess", "login", "ada@example.com")
	n.wantNoFile()
	n.login()
	info, err := os.Stat(n.file)
	if err != nil || info.Mode() != 0o600 {
		n.t.Errorf("%v, %v", info.Mode(), err)
	}
	n.run(true, "(this one)", "", "sessions")
	before := n.token()
	n.run(false, "log out first", "paper lantern quay", "login", "ada@example.com")
	if n.token() != before {
		n.t.Error("the file has changed")
	}
}

// staysSignedIn: longer than access tokens live and than superseded refresh tokens are forgiven.
func (n *nodeExample) staysSignedIn() {
	n.t.Helper()
	seen := map[string]bool{}
	for began := time.Now(); len(seen) < 4 || time.Since(began) < 4*time.Second; {
		n.run(true, "(this one)", "", "sessions")
		seen[n.token()] = true
		if time.Since(began) > time.Minute {
			n.t.Fatalf("%d refresh tokens in %v", len(seen), time.Since(began))
		}
	}
}

func (n *nodeExample) sharesItsFile() {
	for range 3 {
		var group sync.WaitGroup
		for range 4 {
			wait := n.begin("", "sessions")
			group.Go(func() {
				if out, ok := wait(); !ok || !strings.Contains(out, "(this one)") {
					n.t.Errorf("beside others: %s", out)
				}
			})
		}
		group.Wait()
	}
	// One process whose answer arrives when others have moved on.
	n.staysSignedIn()
	before, held := n.token(), n.front.hold()
	late := n.begin("", "sessions")
	<-held.given
	n.run(true, "(this one)", "", "sessions")
	same := n.token() // as the late one will hear
	for n.token() == same {
		n.run(true, "(this one)", "", "sessions")
	}
	last := n.token()
	close(held.released)
	n.check(late, true, "(this one)", "the late one")
	if got := n.token(); got == same || got == before {
		n.t.Errorf("the late one brought an old token back: %v, %v", got == same, last == same)
	}
	n.staysSignedIn()
}

func (n *nodeExample) needsTheServer() {
	before := n.token()
	n.front.change(func(f *front) { f.away = true })
	n.run(false, "The server cannot be reached", "", "sessions")
	n.run(false, "The server cannot be reached", "", "logout")
	if n.token() != before {
		n.t.Error("the session is gone")
	}
	n.front.change(func(f *front) { f.away = false })
	n.run(true, "(this one)", "", "sessions")
}

func (n *nodeExample) signsOut() {
	elsewhere := n.loginElsewhere()
	count := func() int {
		a, err := elsewhere.gql(n.server.url, "{ sessions { id } }", nil)
		if err != nil || len(a.codes()) > 0 {
			n.t.Fatalf("%v %s", err, a.body)
		}
		return strings.Count(string(a.body), `"id"`)
	}
	before := count()
	n.run(true, "Signed out", "", "logout")
	n.wantNoFile()
	if after := count(); after != before-1 {
		n.t.Errorf("the server has not heard of it: %d sessions, and before %d", after, before)
	}
	n.run(false, "login EMAIL", "", "sessions")
}

func (n *nodeExample) loginElsewhere() *client {
	n.t.Helper()
	c := &client{}
	if _, codes := ask(n.t, c, n.server, loginBody, map[string]any{"e": "ada@example.com", "p": "paper lantern quay"}); len(codes) > 0 {
		n.t.Fatal(codes)
	}
	return c
}

// hearsOfTheEnd of its session, and takes nobody's newer one with it.
func (n *nodeExample) hearsOfTheEnd() {
	revoke := func() {
		if _, codes := ask(n.t, n.loginElsewhere(), n.server, "mutation { revokeAll }", nil); len(codes) > 0 {
			n.t.Fatal(codes)
		}
	}
	n.login()
	revoke()
	n.run(false, "login EMAIL", "", "sessions")
	n.wantNoFile()

	n.login()
	revoke()
	held := n.front.hold()
	late := n.begin("", "sessions")
	<-held.given
	n.login()
	close(held.released)
	n.check(late, false, "login EMAIL", "the late one")
	n.run(true, "(this one)", "", "sessions")
}
