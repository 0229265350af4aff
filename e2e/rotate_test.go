package e2e

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// a signing key is replaced under load, process by process, and nobody's access token is
// refused.
func TestRotationUnderLoad(t *testing.T) {
	needPostgres(t)
	r := newRotation(t)
	over := make(chan struct{})
	var clients sync.WaitGroup
	for i := range r.keys {
		clients.Go(func() { r.work(i, over) })
	}
	defer r.ending.Wait()
	defer clients.Wait()
	defer close(over)
	r.untilSignedBy(1)
	old := r.signing()

	r.rotate()
	r.restart(0) // learns of the new key, as a running process does within a minute
	r.restart(1)
	if got := r.signing(); !slices.Equal(got, old) {
		t.Errorf("the new key signs at once: %v, %v", old, got)
	}
	db, _ := r.open()
	db.Age(t, 11*time.Minute)
	r.restart(0) // signs with the new key, and the other not yet
	r.untilSignedBy(2)
	r.restart(1)
	r.untilSignedBy(1)
	if got := r.signing(); slices.Equal(got, old) {
		t.Errorf("the old key still signs: %v", got)
	}
	db.Age(t, 20*time.Minute)
	r.restart(0) // has forgotten the old key
	r.restart(1)
	jwks, err := (&client{}).send(http.MethodGet, r.processes[0].Load().url+"/.well-known/jwks.json", http.Header{}, "")
	if err != nil || strings.Count(string(jwks.body), `"kid"`) != 1 || strings.Contains(string(jwks.body), old[0]) {
		t.Errorf("the old key is still published: %v, %s", err, jwks.body)
	}
	asked := r.asked.Load()
	for deadline := time.Now().Add(10 * time.Second); r.asked.Load() < asked+100 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%d requests and %d refreshes", r.asked.Load(), r.refreshed.Load())
}

// rotation is two processes and their clients.
type rotation struct {
	site
	t                *testing.T
	processes        [2]atomic.Pointer[process]
	keys             [4]atomic.Value // the key that signed each client's access token
	asked, refreshed atomic.Int64
	ending           sync.WaitGroup // processes that were replaced
}

func newRotation(t *testing.T) *rotation {
	r := &rotation{t: t, site: newSite(t, "postgres")}
	for i := range r.processes {
		r.processes[i].Store(serveAlone(t, r.env...))
	}
	return r
}

// restart puts a new process in the place of one, which finishes what it has begun.
func (r *rotation) restart(i int) {
	old := r.processes[i].Swap(serveAlone(r.t, r.env...))
	r.ending.Go(func() {
		if err := old.signal(syscall.SIGTERM); err != nil {
			r.t.Errorf("%v\n%s", err, old.log)
		}
	})
}

func (r *rotation) rotate() {
	r.t.Helper()
	path, err := binary()
	if err != nil {
		r.t.Fatal(err)
	}
	command := exec.Command(path, "keys", "rotate")
	command.Env = r.env
	if out, err := command.CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

// work is one client: it asks both processes in turn, and refreshes now and then.
func (r *rotation) work(i int, over chan struct{}) {
	c := &client{cookies: map[string]string{}}
	for n := 0; ; n++ {
		document, variables := meField, map[string]any(nil)
		switch {
		case n == 0:
			document, variables = signUpCookie, map[string]any{"e": string(rune('a'+i)) + "@example.com"}
		case n%20 == 0:
			document = refreshField
			r.refreshed.Add(1)
		}
		a, err := c.gql(r.processes[(i+n)%2].Load().url, document, variables)
		if codes := a.codes(); len(codes) > 0 {
			r.t.Errorf("%s: %v", document, codes)
		}
		if err != nil { // the process is gone; its successor is there
			n--
		} else {
			r.asked.Add(1)
			r.keys[i].Store(keyOf(c.access))
		}
		select {
		case <-over:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// signing lists the keys that the clients' access tokens are signed by.
func (r *rotation) signing() (out []string) {
	for i := range r.keys {
		key, _ := r.keys[i].Load().(string)
		out = append(out, key)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *rotation) untilSignedBy(n int) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(r.signing()) != n || r.signing()[0] == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("signed by %v", r.signing())
		}
	}
}

func keyOf(access string) string {
	header, _, _ := strings.Cut(access, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(header)
	var fields struct{ Kid string }
	_ = json.Unmarshal(raw, &fields)
	return fields.Kid
}
