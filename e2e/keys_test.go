package e2e

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

// latchkey runs a command against the database and answers what it printed.
func latchkey(t *testing.T, env []string, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("latchkey %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// waitFor repeats a request until it is answered with an error code, or with none for "", and
// answers how long that took.
func waitFor(t *testing.T, c *client, p *process, document, code string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		_, codes := ask(t, c, p, document, nil)
		if strings.Join(codes, " ") == code {
			return time.Since(began)
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%q after 30 s, not %q", codes, code)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

// each replica refuses the tokens of a removed key within five seconds, and a refresh
// brings one of another key, which all of them take.
func TestReplicasRefuseARemovedKey(t *testing.T) {
	for _, engine := range storetest.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			processes, _ := replicas(t, engine, 2)
			ada, late := &client{cookies: map[string]string{}}, &client{}
			if _, codes := ask(t, ada, processes[0], signUpCookie, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
				t.Fatal(codes)
			}
			late.access = ada.access
			for _, p := range processes { // also from memory, where a verified token is for a minute
				if _, codes := ask(t, late, p, "{ me { email } }", nil); len(codes) > 0 {
					t.Fatal(codes)
				}
			}
			env := processes[0].cmd.Env
			fields := strings.Fields(latchkey(t, env, "keys", "list"))
			old := fields[slices.Index(fields, "STATE")+1]
			latchkey(t, env, "keys", "remove", old)
			removed := time.Now()
			for i, p := range processes {
				waitFor(t, late, p, "{ me { email } }", "UNAUTHENTICATED TOKEN_INVALID")
				// Five, and what a busy machine adds.
				if took := time.Since(removed); took > 8*time.Second {
					t.Errorf("replica %d took it for %v", i, took)
				}
			}
			if _, codes := ask(t, ada, processes[1], "mutation { refresh { accessToken } }", nil); len(codes) > 0 {
				t.Fatal(codes)
			}
			for i, p := range processes {
				if _, codes := ask(t, ada, p, "{ me { email } }", nil); len(codes) > 0 {
					t.Errorf("replica %d: %v", i, codes)
				}
				if a, err := ada.send("GET", p.url+"/.well-known/jwks.json", http.Header{}, ""); err != nil || strings.Contains(string(a.body), old) {
					t.Errorf("replica %d publishes %s, %v", i, a.body, err)
				}
			}
		})
	}
}

// a replica that cannot read the keys, though all else of the database, refuses
// rather than trust one that may be gone, says so on /readyz, and comes back by itself.
func TestReplicaThatCannotReadItsKeys(t *testing.T) {
	needPostgres(t)
	processes, db := replicas(t, "postgres", 1)
	ada := &client{cookies: map[string]string{}}
	if _, codes := ask(t, ada, processes[0], signUpCookie, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	released := make(chan error, 1)
	go func() {
		_, err := db.Query("DO $$ BEGIN LOCK TABLE signing_keys; PERFORM pg_sleep(22); END $$")
		released <- err
	}()
	if took := waitFor(t, ada, processes[0], "{ me { email } }", "OVERLOADED"); took < 10*time.Second {
		t.Errorf("a view of %v decides nothing", took)
	}
	if a, err := ada.send("GET", processes[0].url+"/readyz", http.Header{}, ""); err != nil || a.status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d, %v", a.status, err)
	}
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	waitFor(t, ada, processes[0], "{ me { email } }", "")
}

// replicas change from one master secret to another one after the other, and what either
// hands out is good at both, at every stage. Nobody is signed out.
func TestReplicasChangeTheMasterSecret(t *testing.T) {
	needPostgres(t)
	db := storetest.Empty(t, "postgres")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	a, b := "LATCHKEY_SECRET="+token.GenerateMaster().Reveal(), "LATCHKEY_SECRET="+token.GenerateMaster().Reveal()
	other := func(secret string) string { return strings.Replace(secret, "SECRET=", "SECRET_OTHER=", 1) }
	env := func(secrets ...string) []string {
		return append([]string{"LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_PUBLIC_URL=http://localhost:8080",
			"LATCHKEY_DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "LATCHKEY_DATABASE_URL=" + db.URL, "LATCHKEY_LIMIT_SIGNUP_ADDRESS=1000/1m"}, secrets...)
	}
	serve := func(secrets ...string) *process {
		p, err := start(path, env(secrets...), &lockedBuffer{})
		if err != nil {
			t.Fatalf("%v\n%s", err, p.log)
		}
		t.Cleanup(p.kill)
		return p
	}
	var tokens []string // of everybody who ever signed up
	// Each replica signs somebody up, and then both refresh everybody's sessions in turn.
	exchange := func(stage string, replicas ...*process) {
		t.Helper()
		for i, p := range replicas {
			refresh, codes := ask(t, &client{}, p, signUpBody, map[string]any{"e": stage + string(rune('0'+i)) + "@example.com"})
			if len(codes) > 0 {
				t.Fatalf("%s: sign-up at replica %d: %v", stage, i, codes)
			}
			tokens = append(tokens, refresh)
		}
		for range 2 {
			for n := range tokens {
				for i, p := range replicas {
					db.Age(t, time.Minute) // past the grace: each refresh rotates
					somebody := &client{}
					next, codes := ask(t, somebody, p, refreshBody, map[string]any{"t": tokens[n]})
					if len(codes) > 0 {
						t.Fatalf("%s: refresh at replica %d: %v\n%s", stage, i, codes, p.log)
					}
					tokens[n] = next
					for j, p := range replicas {
						if _, codes := ask(t, somebody, p, "{ me { email } }", nil); len(codes) > 0 {
							t.Fatalf("%s: an access token of replica %d at replica %d: %v", stage, i, j, codes)
						}
					}
				}
			}
		}
	}
	one := serve(a)
	exchange("old", one)
	two := serve(a, other(b))
	exchange("announced", one, two)
	one.kill()
	one = serve(b, other(a))
	exchange("swapped", one, two)
	// A key of the new secret is read by who has the new one second, without a restart.
	latchkey(t, env(b, other(a)), "keys", "rotate")
	db.Age(t, 11*time.Minute)
	waitForKeys(t, 2, one, two)
	exchange("rotated", one, two)
	latchkey(t, env(b, other(a)), "keys", "reseal")
	exchange("resealed", one, two)
	two.kill()
	two = serve(b, other(a))
	exchange("all", one, two)
	one.kill()
	one = serve(b)
	exchange("dropped", one, two)
	if p, err := start(path, env(a), &lockedBuffer{}); err == nil || !strings.Contains(p.log.String(), "sealed under another master secret") {
		t.Errorf("the old secret alone starts: %v\n%s", err, p.log)
	}
}

// waitForKeys waits until each process publishes n keys.
func waitForKeys(t *testing.T, n int, processes ...*process) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, p := range processes {
		for {
			a, err := (&client{}).send("GET", p.url+"/.well-known/jwks.json", http.Header{}, "")
			if err == nil && strings.Count(string(a.body), `"kid"`) == n {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s, %v", a.body, err)
			}
			time.Sleep(20 * time.Millisecond) // between two looks
		}
	}
}
