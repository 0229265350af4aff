package e2e

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Several processes obey the end of a session, whatever ended it.

const testSecret = "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/c="

// refusedWithin fails unless a replica refuses a client's access token before a deadline.
func refusedWithin(t *testing.T, p *process, c *client, deadline time.Time) {
	t.Helper()
	for {
		_, codes := ask(t, c, p, "{ __typename me { id } }", nil)
		if slices.Contains(codes, "UNAUTHENTICATED SESSION_ENDED") {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("still let in: %v", codes)
			return
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// however a session ends on one replica, the other refuses its
// access token within a second and tells its streams. A second is too short for the look every
// five: it must have been told, in every one of these rounds.
func TestReplicasObeyEveryEnd(t *testing.T) {
	needPostgres(t)
	settings := []string{
		"LATCHKEY_SECRET=" + testSecret, "LATCHKEY_REFRESH_GRACE=0s", "LATCHKEY_MAX_SESSIONS=2",
		"LATCHKEY_LIMIT_SIGNUP_ADDRESS=1000/1m", "LATCHKEY_LIMIT_LOGIN_ADDRESS=1000/1m", "LATCHKEY_LIMIT_LOGIN_ACCOUNT=1000/1m",
	}
	processes, db := replicas(t, "postgres", 2, settings...)
	a, b := processes[0], processes[1]
	good := func(_ string, codes []string) {
		t.Helper()
		if len(codes) > 0 {
			t.Error(codes)
		}
	}
	login := func(email string) *client {
		c := &client{cookies: map[string]string{}}
		good(ask(t, c, a, `mutation($e: String!) { login(input: {email: $e, password: "paper lantern quay"}) { accessToken } }`, map[string]any{"e": email}))
		return c
	}
	ends := map[string]func(email string, ada *client){
		"logout":    func(_ string, ada *client) { good(ask(t, ada, a, "mutation { logout }", nil)) },
		"revokeAll": func(email string, _ *client) { good(ask(t, login(email), a, "mutation { revokeAll }", nil)) },
		"revokeSession": func(email string, _ *client) {
			other := login(email)
			list, err := other.gql(a.url, "{ sessions { id current } }", nil)
			id := regexp.MustCompile(`"id":"([^"]+)","current":false`).FindSubmatch(list.body)
			if err != nil || id == nil {
				t.Fatalf("%v %s", err, list.body)
			}
			good(ask(t, other, a, "mutation($id: ID!) { revokeSession(id: $id) }", map[string]any{"id": string(id[1])}))
		},
		"a new login in the same browser": func(email string, ada *client) {
			again := &client{cookies: ada.cookies}
			good(ask(t, again, a, `mutation($e: String!) { login(input: {email: $e, password: "paper lantern quay"}) { accessToken } }`, map[string]any{"e": email}))
		},
		"one login too many": func(email string, _ *client) { login(email); login(email) },
		"a refresh token that comes back": func(_ string, ada *client) {
			thief := &client{cookies: map[string]string{"refresh": ada.cookies["refresh"]}}
			good(ask(t, thief, a, "mutation { refresh { accessToken } }", nil))
			if _, codes := ask(t, &client{cookies: ada.cookies}, a, "mutation { refresh { accessToken } }", nil); !slices.Equal(codes, []string{"SESSION_ENDED reuse"}) {
				t.Error(codes)
			}
		},
		"latchkey user disable": func(email string, _ *client) {
			cmd := exec.CommandContext(t.Context(), a.cmd.Path, "user", "disable", email)
			cmd.Env = append(slices.Clone(settings), "LATCHKEY_DATABASE_URL="+db.URL)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		},
	}
	for why, end := range ends {
		for round := range 4 {
			email := uuid.NewString() + "@example.com"
			ada := &client{cookies: map[string]string{}}
			good(ask(t, ada, a, `mutation($e: String!) { signUp(input: {email: $e, password: "paper lantern quay"}) { accessToken } }`, map[string]any{"e": email}))
			stream, err := ada.subscribe(b.url, sessionEvents)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stream.leave)
			if _, err := stream.wait(regexp.MustCompile(`^:\n\n$`), false); err != nil {
				t.Fatal(err)
			}
			before := &client{access: ada.access, cookies: ada.cookies}
			end(email, before)
			ended := time.Now()
			refusedWithin(t, b, &client{access: before.access}, ended.Add(time.Second))
			if text, err := stream.wait(regexp.MustCompile("^:\n\n"+regexp.QuoteMeta(endedEvent)+"$"), true); err != nil || time.Since(ended) > time.Second {
				t.Errorf("the stream, after %v: %v: %q", time.Since(ended), err, text)
			}
			if t.Failed() {
				t.Fatalf("%s, round %d", why, round)
			}
		}
	}
}

// replicaOf is a replica inside the test, which starts sessions without a password's cost.
func replicaOf(t *testing.T, db *storetest.Database) *session.Service {
	t.Helper()
	master, err := token.ParseMaster(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	keys := token.NewKeyring(db, master, token.ES256)
	if err := keys.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	const url = "http://localhost:8080"
	issuer, err := token.NewIssuer(keys, token.IssuerConfig{Issuer: url, Audience: url, ClientID: "latchkey", TTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return session.New(db, session.Tokens{Access: issuer, Refresh: token.NewRefreshCodec(master)}, nil, event.NewLog(slog.New(slog.DiscardHandler)),
		session.Config{Grace: time.Minute, IdleTTL: time.Hour, TTL: time.Hour, Max: 1000})
}

// a replica that starts in the middle of a stream of ends refuses every one of them: those
// from before it was there, those from while it started, and those from after.
func TestReplicaStartsAmidEnds(t *testing.T) {
	needPostgres(t)
	processes, db := replicas(t, "postgres", 1, "LATCHKEY_SECRET="+testSecret)
	sessions := replicaOf(t, db)
	u, err := db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: "ada@example.com", Roles: []user.Role{user.RoleUser}}, "")
	if err != nil {
		t.Fatal(err)
	}
	const total, before = 200, 50
	grants := make([]session.Grant, total)
	for i := range grants {
		if grants[i], err = sessions.Start(t.Context(), u, session.Client{}, token.Secret{}); err != nil {
			t.Fatal(err)
		}
	}
	ended := make([]time.Time, total)
	logout := func(i int) {
		if _, codes := ask(t, &client{}, processes[0], "mutation($t: String!) { logout(refreshToken: $t) }", map[string]any{"t": grants[i].Refresh.Reveal()}); len(codes) > 0 {
			t.Errorf("logout %d: %v", i, codes)
		}
		ended[i] = time.Now()
	}
	for i := range before {
		logout(i)
	}
	var work sync.WaitGroup
	var second *process
	work.Go(func() {
		second, err = start(processes[0].cmd.Path, []string{
			"LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_PUBLIC_URL=http://localhost:8080", "LATCHKEY_DATABASE_URL=" + db.URL, "LATCHKEY_SECRET=" + testSecret,
		}, &lockedBuffer{})
	})
	work.Go(func() {
		for i := before; i < total; i++ {
			logout(i)
		}
	})
	work.Wait()
	if err != nil {
		t.Fatalf("%v\n%s", err, second.log)
	}
	t.Cleanup(second.kill)
	for i, g := range grants {
		refusedWithin(t, second, &client{access: g.Access.Reveal()}, ended[i].Add(time.Second))
	}
	list := feedOf(t, second)
	for i, g := range grants {
		if !slices.Contains(list, g.SessionID.String()) {
			t.Errorf("the feed does not tell of %d", i)
		}
	}
	if t.Failed() {
		t.Logf("the second replica's log:\n%s", second.log)
	}
}

// feedOf reads which sessions have ended, as another service would.
func feedOf(t *testing.T, p *process) []string {
	t.Helper()
	a, err := (&client{}).send(http.MethodGet, p.url+"/revocations", http.Header{}, "")
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("%v, %d %s", err, a.status, a.body)
	}
	parts := strings.Split(string(a.body), ".")
	if len(parts) != 3 {
		t.Fatalf("%s", a.body)
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var body struct{ Sids []string }
	if err := json.Unmarshal(claims, &body); err != nil {
		t.Fatal(err)
	}
	return body.Sids
}

// A poll costs nothing while nothing ends, whichever replica it reaches.
func TestReplicasAgreeOnTheFeed(t *testing.T) {
	needPostgres(t)
	processes, _ := replicas(t, "postgres", 2)
	ada := &client{cookies: map[string]string{}}
	if _, codes := ask(t, ada, processes[0], signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	if _, codes := ask(t, ada, processes[0], "mutation { logout }", nil); len(codes) > 0 {
		t.Fatal(codes)
	}
	refusedWithin(t, processes[1], ada, time.Now().Add(10*time.Second))
	for try := range 3 { // a new feed may be due in between
		tags, statuses := make([]string, 2), make([]int, 2)
		for i, p := range processes {
			a, err := (&client{}).send(http.MethodGet, p.url+"/revocations", http.Header{}, "")
			if err != nil {
				t.Fatal(err)
			}
			tags[i] = a.header.Get("ETag")
		}
		for i, p := range processes {
			a, err := (&client{}).send(http.MethodGet, p.url+"/revocations", http.Header{"If-None-Match": {tags[1-i]}}, "")
			if err != nil {
				t.Fatal(err)
			}
			statuses[i] = a.status
		}
		if tags[0] != "" && slices.Equal(statuses, []int{304, 304}) {
			return
		}
		t.Logf("try %s: %v, %v", strconv.Itoa(try), tags, statuses)
	}
	t.Error("each replica has a feed of its own")
}
