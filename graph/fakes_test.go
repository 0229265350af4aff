package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/login"
	"latchkey/internal/profile"
	"latchkey/internal/ratelimit"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// canary stands for a password wherever a request can go wrong.
const canary = "hunter2Canary"

// fakeUsers answers one user, or what a test asks.
type fakeUsers struct {
	err   error
	panic any
	hang  bool
}

func (f fakeUsers) UserByID(ctx context.Context, id uuid.UUID) (user.User, error) {
	if f.hang {
		<-ctx.Done()
		return user.User{}, ctx.Err()
	}
	if f.panic != nil {
		panic(f.panic)
	}
	return user.User{
		ID: id, Email: "ada@example.com", Roles: []user.Role{user.RoleUser},
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)),
	}, f.err
}

func (f fakeUsers) RenameUser(ctx context.Context, id uuid.UUID, name string) (user.User, error) {
	u, err := f.UserByID(ctx, id)
	u.Name = name
	return u, err
}

// fakeLimiter is as far as a login gets here; it counts.
type fakeLimiter struct{ calls int }

func (f *fakeLimiter) Reserve(context.Context, ...ratelimit.Charge) (*ratelimit.Reservation, error) {
	f.calls++
	return nil, &ratelimit.Error{RetryAfter: 1500 * time.Millisecond, Bucket: "login-account"}
}

// fakeDatabase has one session, which can be ended and is not listed by chance.
type fakeDatabase struct {
	session.Database
	live []session.Session
	err  error
}

func (f *fakeDatabase) EndSession(context.Context, uuid.UUID, session.EndReason) (bool, error) {
	return true, f.err
}

func (f *fakeDatabase) EndOwnSession(_ context.Context, _, id uuid.UUID, _ session.EndReason, _ time.Duration) (bool, error) {
	return id == ownSession || id == otherSession, f.err
}

func (f *fakeDatabase) LiveSessions(context.Context, uuid.UUID, time.Duration) ([]session.Session, error) {
	return f.live, f.err
}

// fixture is NewHandler with fakes behind it.
type fixture struct {
	handler  http.Handler
	users    fakeUsers
	logins   fakeLimiter
	database fakeDatabase
	sessions *session.Service
	log      bytes.Buffer
	req      *reqctx.Request // of the next call
}

func (f *fixture) UserByID(ctx context.Context, id uuid.UUID) (user.User, error) {
	return f.users.UserByID(ctx, id)
}

func newFixture(t testing.TB, cfg HandlerConfig) *fixture {
	t.Helper()
	f := &fixture{}
	log := slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	events := event.NewLog(slog.New(slog.DiscardHandler))
	logins := login.New(nil, nil, &f.logins, nil, events, login.Config{Pseudonym: func(string) string { return "" }})
	f.sessions = session.New(&f.database, session.Tokens{}, &f.logins, events, session.Config{})
	var err error
	if f.handler, err = NewHandler(NewResolver(f, nil, logins, f.sessions, profile.New(&f.users)), log, cfg); err != nil {
		t.Fatal(err)
	}
	f.req = signedIn()
	return f
}

func (f *fixture) executor() *executor.Executor { return f.handler.(*transport).exec }

var (
	ownSession   = uuid.MustParse("0190a5d6-7c1e-7000-8000-0000000000aa")
	otherSession = uuid.MustParse("0190a5d6-7c1e-7000-8000-0000000000bb")
)

func signedIn(roles ...user.Role) *reqctx.Request {
	return &reqctx.Request{ID: "request-1", Principal: session.Principal{
		UserID: uuid.MustParse("7b9e2f4c-1111-4222-8333-944455556666"), SessionID: ownSession,
		Roles: roles, AuthTime: time.Now(), Until: time.Now().Add(10 * time.Minute),
	}, Cookies: noCookies{}}
}

type noCookies struct{}

func (noCookies) Set(token.Secret, time.Duration)      {}
func (noCookies) Clear()                               {}
func (noCookies) Remember(token.Secret, time.Duration) {}

// send makes a request. Headers are "Name: value" lines.
func (f *fixture) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	r.Body = http.MaxBytesReader(nil, r.Body, 64<<10)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r.WithContext(reqctx.With(r.Context(), f.req)))
	return w
}

// post sends a document with variables, as clients do.
func (f *fixture) post(query string, variables any, headers ...string) *httptest.ResponseRecorder {
	body, _ := json.Marshal(map[string]any{"query": query, "variables": variables})
	return f.send("POST", "/graphql", string(body), append(headers, "Content-Type: application/json")...)
}

// reply is a decoded answer.
type reply struct {
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

func decode(t testing.TB, w *httptest.ResponseRecorder) reply {
	t.Helper()
	var out reply
	decoder := json.NewDecoder(w.Body)
	if err := decoder.Decode(&out); err != nil {
		t.Fatalf("the answer is no JSON: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Fatal("there is something behind the answer")
	}
	return out
}

// code is extensions.code of the only error, "" if there is none.
func code(t testing.TB, r reply) string {
	t.Helper()
	if len(r.Errors) == 0 {
		return ""
	}
	if len(r.Errors) > 1 {
		t.Fatalf("%d errors: %+v", len(r.Errors), r.Errors)
	}
	text, _ := r.Errors[0].Extensions["code"].(string)
	return text
}
