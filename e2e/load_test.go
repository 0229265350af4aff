package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func serveAlone(t *testing.T, extra ...string) *process {
	t.Helper()
	return serveBuilt(t, binary, extra...)
}

func serveBuilt(t *testing.T, built func() (string, error), extra ...string) *process {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	env := append(generous(), "LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_DATA_DIR="+filepath.Join(t.TempDir(), "data"))
	env = append(env, extra...)
	p, err := start(path, env, &lockedBuffer{})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	t.Cleanup(p.kill)
	return p
}

// hashes that nobody can compute in time are refused as OVERLOADED, with the seconds to
// wait, and whoever is signed in notices nothing.
func TestOverload(t *testing.T) {
	t.Parallel()
	p := serveAlone(t, "LATCHKEY_ARGON2_CONCURRENCY=1")
	ada := &client{cookies: map[string]string{}}
	refresh, codes := ask(t, ada, p, signUpBody, map[string]any{"e": "ada@example.com"})
	if len(codes) > 0 {
		t.Fatal(codes)
	}
	// More work than one place gets done in the two seconds that a login waits for it.
	const attempts = 400
	var mu sync.Mutex
	var overloaded answer
	var group sync.WaitGroup
	seen := map[string]int{}
	for i := range attempts {
		group.Go(func() {
			a, err := (&client{}).gql(p.url, loginBody, map[string]any{"e": fmt.Sprintf("nobody-%d@example.com", i), "p": "a wrong guess"})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			code := strings.Join(a.codes(), " ")
			seen[code]++
			if code == "OVERLOADED" {
				overloaded = a
			}
		})
	}
	if _, codes := ask(t, ada, p, "{ me { email } }", nil); len(codes) > 0 {
		t.Errorf("me, meanwhile: %v", codes)
	}
	if _, codes := ask(t, ada, p, refreshBody, map[string]any{"t": refresh}); len(codes) > 0 {
		t.Errorf("refresh, meanwhile: %v", codes)
	}
	group.Wait()
	if seen["OVERLOADED"] == 0 || seen["INVALID_CREDENTIALS"] == 0 || seen["OVERLOADED"]+seen["INVALID_CREDENTIALS"] != attempts {
		t.Fatalf("answers: %v", seen)
	}
	if overloaded.status != http.StatusOK || overloaded.header.Get("Retry-After") == "" || !strings.Contains(string(overloaded.body), `"retryAfter":`) {
		t.Errorf("OVERLOADED: %d, %v, %s", overloaded.status, overloaded.header, overloaded.body)
	}
}

// 200 logins at once need the memory of those that are hashed, not of all.
func TestMemoryOfLogins(t *testing.T) {
	t.Parallel()
	p := serveBuilt(t, plainBinary, newSite(t, "sqlite", "LATCHKEY_ARGON2_CONCURRENCY=2").env...)
	const logins, perHash = 200, 12288 // KiB
	var group sync.WaitGroup
	for i := range logins {
		group.Go(func() {
			_, codes := ask(t, &client{}, p, loginBody, map[string]any{"e": fmt.Sprintf("nobody-%d@example.com", i), "p": "a wrong guess"})
			if !slices.Equal(codes, []string{"INVALID_CREDENTIALS"}) && !slices.Equal(codes, []string{"OVERLOADED"}) {
				t.Error(codes)
			}
		})
	}
	group.Wait()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("needs /proc")
	}
	var peak int
	if m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status); m != nil {
		peak, _ = strconv.Atoi(string(m[1]))
	}
	t.Logf("at most %d MiB", peak>>10)
	// With the garbage that is not collected yet; all at once would be 2.3 GiB.
	if peak == 0 || peak > 15*perHash {
		t.Errorf("%d KiB", peak)
	}
}

// A request that is under way when the server is told to stop still gets its answer.
func TestDrain(t *testing.T) {
	t.Parallel()
	p := serveAlone(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	const body = `{"query":"{ __typename }"}`
	fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	from := bufio.NewReader(conn)
	// The server asks for the body when its handler reads it: now the request is under way.
	if line, err := from.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.signal(syscall.SIGTERM) }()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(p.log.String(), "stopping"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not stop")
		}
	}
	if _, err := fmt.Fprint(conn, body); err != nil {
		t.Fatal(err)
	}
	if _, err := from.ReadString('\n'); err != nil { // the empty line of the 100
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(from, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	if err := <-ended; err != nil {
		t.Errorf("exit: %v", err)
	}
}

// Nothing that a page of another site could send changes anything.
func TestForeignPagesCannotLogOut(t *testing.T) {
	t.Parallel()
	p := serveAlone(t)
	ada := &client{cookies: map[string]string{}}
	const signUp = `mutation { signUp(input: {email: "ada@example.com", password: "paper lantern quay"}) { accessToken } }`
	if a, err := ada.gql(p.url, signUp, nil); err != nil || len(a.codes()) > 0 {
		t.Fatal(err, a.codes())
	}
	const logout = `{"query":"mutation { logout }"}`
	foreign := http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}
	for why, send := range map[string]func() (answer, error){
		"a form": func() (answer, error) {
			return ada.send("POST", p.url+"/graphql", with(foreign, "Content-Type", "text/plain"), logout)
		},
		"an encoded form": func() (answer, error) {
			return ada.send("POST", p.url+"/graphql", with(foreign, "Content-Type", "application/x-www-form-urlencoded"), "query=mutation{logout}")
		},
		"a fetch": func() (answer, error) {
			return ada.send("POST", p.url+"/graphql", with(foreign, "Content-Type", "application/json"), logout)
		},
		"an image": func() (answer, error) {
			return ada.send("GET", p.url+"/graphql?query=mutation%7Blogout%7D", http.Header{"Sec-Fetch-Site": {"cross-site"}}, "")
		},
	} {
		a, err := send()
		if err != nil || a.status < 400 || !slices.Equal(a.codes(), []string{"BAD_REQUEST"}) || len(a.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %v, %d %s", why, err, a.status, a.body)
		}
	}
	if a, err := ada.gql(p.url, "{ me { email } }", nil); err != nil || len(a.codes()) > 0 {
		t.Errorf("afterwards: %v, %s", err, a.body)
	}
}

func with(h http.Header, name, value string) http.Header {
	out := h.Clone()
	out.Set(name, value)
	return out
}
