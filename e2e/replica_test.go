package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/internal/ratelimit"
	"latchkey/internal/store/storetest"
)

// replicas starts processes over one database at the same moment.
func replicas(t *testing.T, engine string, n int, extra ...string) ([]*process, *storetest.Database) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	var db *storetest.Database
	dir := filepath.Join(t.TempDir(), "data")
	env := append(generous(), "LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_PUBLIC_URL=http://localhost:8080", "LATCHKEY_DATA_DIR="+dir)
	env = append(env, extra...)
	if engine == "postgres" {
		db = storetest.Empty(t, engine)
		env = append(env, "LATCHKEY_DATABASE_URL="+db.URL)
	}
	out := make([]*process, n)
	var group sync.WaitGroup
	for i := range out {
		group.Go(func() {
			p, err := start(path, env, &lockedBuffer{})
			if err != nil {
				t.Errorf("%v\n%s", err, p.log)
			}
			out[i] = p
		})
	}
	group.Wait()
	t.Cleanup(func() {
		for _, p := range out {
			p.kill()
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return out, db
}

// generous settings keep limits out of tests about other things; a later entry of an environment
// overrides an earlier one.
func generous() []string {
	var out []string
	for _, p := range ratelimit.Policies() {
		out = append(out, "LATCHKEY_LIMIT_"+strings.ToUpper(strings.ReplaceAll(p.Bucket, "-", "_"))+"=1000000/1m")
	}
	return out
}

func needPostgres(t *testing.T) {
	t.Helper()
	if !slices.Contains(storetest.Engines(), "postgres") {
		t.Skip("needs Postgres: make test")
	}
	t.Parallel()
}

const (
	signUpBody  = `mutation($e: String!) { signUp(input: {email: $e, password: "paper lantern quay", delivery: BODY}) { accessToken refreshToken } }`
	loginBody   = `mutation($e: String!, $p: String!) { login(input: {email: $e, password: $p, delivery: BODY}) { accessToken refreshToken } }`
	refreshBody = `mutation($t: String!) { refresh(refreshToken: $t) { accessToken refreshToken } }`
)

// ask runs a document and answers the refresh token in it, if any, and the errors' codes.
func ask(t *testing.T, c *client, p *process, document string, variables map[string]any) (refresh string, codes []string) {
	t.Helper()
	a, err := c.gql(p.url, document, variables)
	if err != nil {
		t.Error(err)
		return "", []string{err.Error()}
	}
	var body struct {
		Data map[string]json.RawMessage
	}
	_ = json.Unmarshal(a.body, &body)
	for _, raw := range body.Data {
		var payload struct{ RefreshToken string }
		_ = json.Unmarshal(raw, &payload)
		refresh = payload.RefreshToken
	}
	return refresh, a.codes()
}

// Replicas that start together migrate once and make one signing key.
func TestReplicasStartTogether(t *testing.T) {
	for _, engine := range storetest.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			processes, _ := replicas(t, engine, 4)
			ada := &client{cookies: map[string]string{}}
			if _, codes := ask(t, ada, processes[0], signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
				t.Fatal(codes)
			}
			for i, p := range processes {
				if _, codes := ask(t, ada, p, "{ me { email } }", nil); len(codes) > 0 {
					t.Errorf("replica %d does not know the others' key: %v", i, codes)
				}
			}
		})
	}
}

// 50 parallel refreshes of one token make one rotation and 50 identical tokens.
func TestReplicasRefreshOnce(t *testing.T) {
	needPostgres(t)
	processes, db := replicas(t, "postgres", 2)
	token, codes := ask(t, &client{}, processes[0], signUpBody, map[string]any{"e": "ada@example.com"})
	if token == "" {
		t.Fatal(codes)
	}
	for generation := range 5 {
		var mu sync.Mutex
		got := map[string]int{}
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				next, codes := ask(t, &client{}, processes[i%2], refreshBody, map[string]any{"t": token})
				mu.Lock()
				defer mu.Unlock()
				got[next+strings.Join(codes, " ")]++
			})
		}
		group.Wait()
		if len(got) != 1 {
			t.Fatalf("round %d: %d different answers: %v", generation, len(got), got)
		}
		for next := range got {
			if next == token || len(next) != len(token) {
				t.Fatalf("round %d: the token did not rotate: %s", generation, next)
			}
			token = next
		}
		if at := db.Text(t, "SELECT generation FROM sessions"); at != string(rune('1'+generation)) {
			t.Fatalf("round %d: generation %s", generation, at)
		}
		db.Age(t, time.Minute)
	}
}

// refreshes that race revokeAll leave nothing alive.
func TestReplicasRevokeAll(t *testing.T) {
	needPostgres(t)
	processes, _ := replicas(t, "postgres", 2)
	if _, codes := ask(t, &client{}, processes[0], signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	for round := range 5 {
		ada := &client{cookies: map[string]string{}}
		token, codes := ask(t, ada, processes[0], loginBody, map[string]any{"e": "ada@example.com", "p": "paper lantern quay"})
		if token == "" {
			t.Fatal(codes)
		}
		var mu sync.Mutex
		callers := []*client{ada}
		tokens := []string{token}
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				c := &client{}
				next, _ := ask(t, c, processes[i%2], refreshBody, map[string]any{"t": token})
				mu.Lock()
				defer mu.Unlock()
				if next != "" {
					callers, tokens = append(callers, c), append(tokens, next)
				}
			})
		}
		group.Go(func() {
			if _, codes := ask(t, &client{access: ada.access}, processes[1], "mutation { revokeAll }", nil); len(codes) > 0 {
				t.Error(codes)
			}
		})
		group.Wait()
		for i, c := range callers {
			if _, codes := ask(t, c, processes[1], "{ me { email } }", nil); !slices.Contains(codes, "UNAUTHENTICATED SESSION_ENDED") {
				t.Fatalf("round %d: an access token lives: %v", round, codes)
			}
			if _, codes := ask(t, &client{}, processes[0], refreshBody, map[string]any{"t": tokens[i]}); !slices.Contains(codes, "SESSION_ENDED revoke_all") {
				t.Fatalf("round %d: a refresh token lives: %v", round, codes)
			}
		}
	}
}

// what one replica ends, another refuses at once: not only with its next look at the
// database, and also after its listening connection was cut off.
func TestReplicasLearnOfEnds(t *testing.T) {
	needPostgres(t)
	processes, db := replicas(t, "postgres", 2)
	// A look every five seconds would take half a minute and more for these.
	const rounds = 12
	began := time.Now()
	for round := range rounds {
		ada := &client{cookies: map[string]string{}}
		if _, codes := ask(t, ada, processes[0], signUpBody, map[string]any{"e": "ada-" + strconv.Itoa(round) + "@example.com"}); len(codes) > 0 {
			t.Fatal(codes)
		}
		if round == rounds/2 {
			db.Text(t, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
		}
		if _, codes := ask(t, &client{access: ada.access}, processes[0], "mutation { logout }", nil); len(codes) > 0 {
			t.Fatal(codes)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, codes := ask(t, ada, processes[1], "{ me { email } }", nil); slices.Contains(codes, "UNAUTHENTICATED SESSION_ENDED") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: the other replica still lets it in", round)
			}
		}
	}
	if took := time.Since(began); took > rounds*2*time.Second {
		t.Errorf("%d ends were learned of in %v", rounds, took)
	}
}

// to verify an access token reads nothing from the database.
func TestVerifyingReadsNothing(t *testing.T) {
	needPostgres(t)
	processes, db := replicas(t, "postgres", 1)
	if _, err := db.Query("CREATE EXTENSION pg_stat_statements"); err != nil {
		t.Skipf("needs pg_stat_statements: %v", err)
	}
	statements := func() int {
		out, err := db.Query("SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())")
		if err != nil {
			t.Skipf("needs pg_stat_statements to be preloaded: %v", err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ada := &client{cookies: map[string]string{}}
	if _, codes := ask(t, ada, processes[0], signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	const requests = 500
	before := statements()
	for range requests {
		if _, codes := ask(t, ada, processes[0], "{ __typename }", nil); len(codes) > 0 {
			t.Fatal(codes)
		}
	}
	// What remains is the look every few seconds at what has ended and at the keys, and our own two
	// questions.
	if n := statements() - before; n > requests/10 {
		t.Errorf("%d statements for %d requests", n, requests)
	}
}

// sign-ups that race for one address make one user, and nobody gets an error of ours.
func TestReplicasSignUpRace(t *testing.T) {
	needPostgres(t)
	processes, db := replicas(t, "postgres", 2)
	var mu sync.Mutex
	got := map[string]int{}
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			codes := []string{"OVERLOADED"}
			for slices.Contains(codes, "OVERLOADED") { // a busy machine says so, and may be asked again
				_, codes = ask(t, &client{}, processes[i%2], signUpBody, map[string]any{"e": []string{"ada@example.com", "ADA@Example.com"}[i/2%2]})
			}
			mu.Lock()
			defer mu.Unlock()
			got[strings.Join(codes, " ")]++
		})
	}
	group.Wait()
	// Postgres writes failed statements to its log; none may hold a hash.
	if path := os.Getenv("LATCHKEY_TEST_POSTGRES_LOG"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(text, []byte("argon2id")); at >= 0 {
			t.Errorf("a password hash is in the log: %s", text[at:min(at+40, len(text))])
		}
	}
	if got[""] != 1 || got["EMAIL_TAKEN"] != 19 || db.Text(t, "SELECT count(*) FROM users") != "1" {
		t.Errorf("answers %v, users %s", got, db.Text(t, "SELECT count(*) FROM users"))
	}
}

// replicas count together, in Redis or else in Postgres, and parallel guesses do not slip
// through.
func TestReplicasShareLimits(t *testing.T) {
	for where, url := range map[string]string{"Postgres": "", "Redis": os.Getenv("LATCHKEY_TEST_REDIS_URL")} {
		t.Run(where, func(t *testing.T) {
			needPostgres(t)
			if where == "Redis" && url == "" {
				t.Skip("needs Redis: make test")
			}
			// A counter must not wait for the processor.
			at := newSite(t, "postgres", "LATCHKEY_REDIS_URL="+url, "LATCHKEY_LIMIT_LOGIN_ACCOUNT=10/15m", "LATCHKEY_ARGON2_CONCURRENCY=1")
			processes := []*process{serveBuilt(t, plainBinary, at.env...), serveBuilt(t, plainBinary, at.env...)}
			shareLimits(t, processes)
		})
	}
}

func shareLimits(t *testing.T, processes []*process) {
	for attempt := range 10 {
		var mu sync.Mutex
		got := map[string]int{}
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				email := "account-" + strconv.Itoa(attempt) + "@example.com"
				_, codes := ask(t, &client{}, processes[i%2], loginBody, map[string]any{"e": email, "p": "a wrong guess"})
				mu.Lock()
				defer mu.Unlock()
				got[strings.Join(codes, " ")]++
			})
		}
		group.Wait()
		if got["INVALID_CREDENTIALS"] == 10 && got["RATE_LIMITED"] == 90 {
			return
		}
		// On a machine that is busy enough hashes are shed, or the counters are too slow to be
		// waited for and a replica counts for itself: then this round tells nothing.
		logs := processes[0].log.String() + processes[1].log.String()
		fellBack := strings.Contains(logs, "this process counts rate limits for itself")
		if got["OVERLOADED"] == 0 && !fellBack {
			t.Fatalf("of 100 parallel guesses at a limit of 10: %v", got)
		}
		t.Logf("told nothing: %v, fell back: %v", got, fellBack)
	}
	t.Fatal("the machine was too busy ten times")
}
