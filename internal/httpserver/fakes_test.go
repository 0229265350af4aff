package httpserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/ratelimit"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
)

const (
	publicURL = "https://auth.example.com"
	appOrigin = "https://app.example.com"
	canary    = "hunter2-canary"
)

// fakeAPI stands where GraphQL does: it reads the body and does what a test asks.
type fakeAPI struct {
	do    func(w http.ResponseWriter, r *http.Request)
	calls int
	last  *reqctx.Request
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls++
	f.last = reqctx.From(r.Context())
	if f.do != nil {
		f.do(w, r)
		return
	}
	_, _ = io.WriteString(w, `{"data":null}`)
}

// fakeAuth knows one token.
type fakeAuth struct{}

func (fakeAuth) Authenticate(access string) (session.Principal, error) {
	switch access {
	case "":
		return session.Principal{}, session.ErrNoToken
	case "good":
		return session.Principal{UserID: uuid.Max, SessionID: uuid.UUID{2}}, nil
	case "expired":
		return session.Principal{}, token.ErrAccessExpired
	case "ended":
		return session.Principal{}, session.ErrRevoked
	}
	return session.Principal{}, token.ErrAccessInvalid
}

func (fakeAuth) Holder(presented token.Secret) uuid.UUID {
	if presented.Reveal() == "genuine" {
		return uuid.UUID{1}
	}
	return uuid.Nil
}

type fakeAbout struct {
	err  error
	feed token.Feed
}

func (*fakeAbout) JWKS() []byte                  { return []byte(`{"keys":[]}`) }
func (*fakeAbout) Algorithms() []token.Algorithm { return []token.Algorithm{token.ES256} }
func (f *fakeAbout) Feed() (token.Feed, error)   { return f.feed, f.err }
func (f *fakeAbout) Ready(context.Context) error { return f.err }

// fixture is New with fakes behind it.
type fixture struct {
	api     fakeAPI
	about   fakeAbout
	limiter *ratelimit.Limiter
	log     bytes.Buffer
	handler http.Handler
}

func newFixture(cfg Config) *fixture {
	f := &fixture{}
	var err error
	if f.limiter, err = ratelimit.New(make([]byte, 32), nil, ratelimit.Config{}); err != nil {
		panic(err)
	}
	if cfg.Limits == nil {
		cfg.Limits = ratelimit.Limits{ratelimit.Requests: {Limit: 1_000_000, Period: time.Minute}}
	}
	log := slog.New(reqctx.LogHandler(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	f.handler = New(API{
		Handler: &f.api,
		Refuse: func(w http.ResponseWriter, _ *http.Request, status int, message string) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "refused: "+message)
		},
		Limited: func(w http.ResponseWriter, _ *http.Request, retryAfter time.Duration) {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, "limited: "+retryAfter.String())
		},
		Crashed: func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "INTERNAL "+reqctx.From(r.Context()).ID)
		},
	}, fakeAuth{}, &f.about, f.limiter, log, cfg)
	return f
}

func production() Config {
	return Config{PublicURL: publicURL, Secure: true, AllowedOrigins: []string{appOrigin, publicURL}, JWKSMaxAge: 5 * time.Minute}
}

func development() Config {
	return Config{PublicURL: "http://localhost:8080", AllowedOrigins: []string{"http://localhost:8080"}, JWKSMaxAge: time.Minute}
}

func (f *fixture) slog() *slog.Logger { return slog.New(slog.NewTextHandler(&f.log, nil)) }

// send makes a request. Headers are "Name: value" lines, and may repeat.
func (f *fixture) send(method, target, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

var errAway = errors.New("dial tcp: password=" + canary)
