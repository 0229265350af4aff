package graph

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/login"
	"latchkey/internal/password"
	"latchkey/internal/profile"
	"latchkey/internal/ratelimit"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/signup"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// ledger lets everything pass and remembers what was charged.
type ledger struct {
	mu      sync.Mutex
	buckets []string
}

func (l *ledger) Reserve(_ context.Context, charges ...ratelimit.Charge) (*ratelimit.Reservation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range charges {
		l.buckets = append(l.buckets, c.Bucket)
	}
	return nil, nil
}

type plainHasher struct{}

func (plainHasher) Hash(_ context.Context, plain string) (string, error) { return plain, nil }
func (plainHasher) Dummy(context.Context, string) error                  { return nil }
func (plainHasher) Verify(_ context.Context, stored, plain string) (password.Match, error) {
	return password.Match{OK: stored == plain}, nil
}

const right = `email: "ada@example.com", password: "paper lantern quay"`

// charging is the API with a ledger in place of a limiter.
type charging struct {
	t        *testing.T
	db       *storetest.Database
	charged  ledger
	sessions *session.Service
	handler  http.Handler
	known    session.Client // a device that Ada has logged in on
	ada      session.Grant
}

func newCharging(t *testing.T) *charging {
	t.Helper()
	c := &charging{t: t, db: storetest.New(t, "sqlite")}
	master, err := token.ParseMaster("5Yw0m2a5k9m1o7u3JXz2Qd6m0c4n8b1v7x9s3f5h2k4=")
	c.check(err)
	keys := token.NewKeyring(c.db, master, token.EdDSA)
	c.check(keys.Load(t.Context()))
	issuer, err := token.NewIssuer(keys, token.IssuerConfig{Issuer: "i", Audience: "a", ClientID: "c", TTL: time.Minute})
	c.check(err)
	policy, err := password.NewPolicy(8)
	c.check(err)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	events, devices := event.NewLog(log), token.NewDeviceCodec(master)
	c.sessions = session.New(c.db, session.Tokens{Access: issuer, Refresh: token.NewRefreshCodec(master)}, &c.charged, events,
		session.Config{IdleTTL: time.Hour, TTL: time.Hour})
	logins := login.New(c.db, plainHasher{}, &c.charged, c.sessions, events, login.Config{Devices: devices, Pseudonym: token.NewPseudonym(master)})
	signups := signup.New(c.db, plainHasher{}, &c.charged, logins, events, signup.Config{Password: policy})
	c.handler, err = NewHandler(NewResolver(c.db, signups, logins, c.sessions, profile.New(c.db)), log, HandlerConfig{})
	c.check(err)
	_, err = c.db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: "ada@example.com"}, "paper lantern quay")
	c.check(err)
	c.known.Device = devices.Encode(token.NewDeviceID(), "ada@example.com")
	return c
}

func (c *charging) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// signIn gives Ada a new session, which costs nothing.
func (c *charging) signIn() {
	c.t.Helper()
	u, _, err := c.db.CredentialByEmail(c.t.Context(), "ada@example.com")
	c.check(err)
	c.ada, err = c.sessions.Start(c.t.Context(), u, session.Client{}, token.Secret{})
	c.check(err)
}

// run is a request of Ada's session.
func (c *charging) run(document string, client session.Client) {
	c.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":`+strconv.Quote(document)+`}`))
	r.Header.Set("Content-Type", "application/json")
	req := &reqctx.Request{Client: client, Cookies: noCookies{}, Refresh: c.ada.Refresh,
		Principal: session.Principal{UserID: c.ada.User.ID, SessionID: c.ada.SessionID}}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r.WithContext(reqctx.With(r.Context(), req)))
	if answer := w.Body.String(); strings.Contains(answer, "INTERNAL") || strings.Contains(answer, "GRAPHQL") {
		c.t.Fatal(answer)
	}
}

// what the schema declares beside a field is what the field is charged to, once for
// each time it runs; no less and no more.
func TestDeclaredLimitsAreCharged(t *testing.T) {
	c := newCharging(t)
	runs := map[string]func(){
		"signUp": func() {
			c.run(`mutation { signUp(input: {email: "eve@example.com", password: "paper lantern quay"}) { expiresIn } }`, c.known)
		},
		"login": func() {
			c.run(`mutation { login(input: {`+right+`}) { expiresIn } }`, c.known)
			c.run(`mutation { login(input: {`+right+`}) { expiresIn } }`, session.Client{})
		},
		"refresh": func() {
			c.run(`mutation { refresh { expiresIn } }`, c.known)
			c.run(`mutation { refresh(refreshToken: "x") { expiresIn } }`, c.known)
		},
		"logout":    func() { c.run(`mutation { logout }`, c.known) },
		"revokeAll": func() { c.run(`mutation { revokeAll }`, c.known) },
		"revokeSession": func() {
			c.run(`mutation { revokeSession(id: "`+c.ada.SessionID.String()+`") }`, c.known)
		},
		"updateProfile": func() { c.run(`mutation { updateProfile(name: "Ada") { name } }`, c.known) },
	}
	for _, field := range NewExecutableSchema(Config{}).Schema().Mutation.Fields {
		var declared []string
		for _, child := range field.Directives.ForName("limit").Arguments.ForName("by").Value.Children {
			declared = append(declared, child.Value.Raw)
		}
		act, ok := runs[field.Name]
		if !ok {
			if len(declared) > 0 { // a team's own field without limits needs no line here
				t.Errorf("%s: say here how it runs, so that its limits are watched", field.Name)
			}
			continue
		}
		c.signIn()
		c.charged.buckets = nil
		act()
		got := slices.Clone(c.charged.buckets)
		slices.Sort(got)
		slices.Sort(declared)
		if !slices.Equal(got, declared) {
			t.Errorf("%s: charged to %v, declared %v", field.Name, got, declared)
		}
	}
}
