package login_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/login"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Every address and every password of these tests has "canary" in it, which no event may repeat:
// newFixture checks it at the end of each test.
const (
	ada    = "canary-ada@example.com"
	nobody = "canary-nobody@example.com"
	right  = "canary correct horse"
	wrong  = "canary wrong horse"
)

var errDown = errors.New("the database is down")

// steps lists what the fakes were asked, in order.
type steps struct {
	mu   sync.Mutex
	done []string
}

func (s *steps) note(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, step)
}

func (s *steps) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.done)
}

// count answers how often a step was taken; steps.count("hash") is the H of the requirements.
func (s *steps) count(step string) (n int) {
	for _, done := range s.all() {
		if done == step {
			n++
		}
	}
	return n
}

type account struct {
	user.User
	hash string
}

type fakeStore struct {
	*steps
	accounts             map[string]account // by normalised address
	readErr, replaceErr  error
	replacedBy, replaced string // the arguments of ReplacePasswordHash
}

func (s *fakeStore) CredentialByEmail(_ context.Context, email string) (user.User, string, error) {
	s.note("look up")
	if s.readErr != nil {
		return user.User{}, "", s.readErr
	}
	a, ok := s.accounts[email]
	if !ok {
		return user.User{}, "", fmt.Errorf("wrapped: %w", user.ErrNotFound)
	}
	return a.User, a.hash, nil
}

func (s *fakeStore) ReplacePasswordHash(_ context.Context, id uuid.UUID, oldHash, newHash string) error {
	s.note("replace")
	s.replaced, s.replacedBy = oldHash, newHash
	for email, a := range s.accounts {
		if a.ID == id && a.hash == oldHash && s.replaceErr == nil {
			a.hash = newHash
			s.accounts[email] = a
		}
	}
	return s.replaceErr
}

// fakeHasher takes "new:" or, stale, "old:" with the password behind it for a hash.
type fakeHasher struct {
	*steps
	checkErr, hashErr error
	whileHashing      func()
}

func (h *fakeHasher) Hash(_ context.Context, plain string) (string, error) {
	h.note("hash")
	if h.whileHashing != nil {
		h.whileHashing()
	}
	return "new:" + plain, h.hashErr
}

func (h *fakeHasher) Verify(_ context.Context, stored, plain string) (password.Match, error) {
	h.note("hash")
	scheme, secret, ok := strings.Cut(stored, ":")
	switch {
	case h.checkErr != nil:
		return password.Match{}, h.checkErr
	case !ok:
		return password.Match{}, password.ErrUnusableHash
	case secret != plain:
		return password.Match{}, nil
	}
	return password.Match{OK: true, Stale: scheme == "old"}, nil
}

func (h *fakeHasher) Dummy(context.Context, string) error {
	h.note("hash")
	return h.checkErr
}

// recordingLimiter remembers the charges and lets a real limiter decide, which alone can make
// a Reservation.
type recordingLimiter struct {
	*steps
	real    *ratelimit.Limiter
	mu      sync.Mutex
	charges []ratelimit.Charge
}

func (l *recordingLimiter) Reserve(ctx context.Context, charges ...ratelimit.Charge) (*ratelimit.Reservation, error) {
	l.note("charge")
	l.mu.Lock()
	l.charges = append(l.charges, charges...)
	l.mu.Unlock()
	return l.real.Reserve(ctx, charges...)
}

// left uses up what is left of a limit and answers how much it was.
func (l *recordingLimiter) left(t *testing.T, c ratelimit.Charge) (n int) {
	t.Helper()
	for {
		_, err := l.real.Reserve(t.Context(), c)
		var limit *ratelimit.Error
		switch {
		case errors.As(err, &limit):
			return n
		case err != nil:
			t.Fatal(err)
		}
		n++
	}
}

// one charges once and answers 1 if that passes.
func (l *recordingLimiter) one(t *testing.T, c ratelimit.Charge) int {
	t.Helper()
	if _, err := l.real.Reserve(t.Context(), c); err != nil {
		return 0
	}
	return 1
}

type started struct {
	user      user.User
	client    session.Client
	presented token.Secret
}

type fakeSessions struct {
	*steps
	err     error
	started []started
}

func (s *fakeSessions) Start(_ context.Context, u user.User, c session.Client, presented token.Secret) (session.Grant, error) {
	s.note("start")
	s.started = append(s.started, started{u, c, presented})
	if s.err != nil {
		return session.Grant{}, s.err
	}
	return session.Grant{User: u, SessionID: uuid.New(), Refresh: token.NewSecret("canary refresh")}, nil
}

// collector is a slog.Handler that keeps the events.
type collector struct {
	mu     sync.Mutex
	events []map[string]string
}

func (*collector) Enabled(context.Context, slog.Level) bool { return true }
func (c *collector) WithAttrs([]slog.Attr) slog.Handler     { return c }
func (c *collector) WithGroup(string) slog.Handler          { return c }

func (c *collector) Handle(_ context.Context, r slog.Record) error {
	fields := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		fields[a.Key] = a.Value.String()
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, fields)
	return nil
}

// want demands exactly these events since the last call.
func (c *collector) want(t *testing.T, want ...map[string]string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.EqualFunc(c.events, want, maps.Equal) {
		t.Errorf("events %v, want %v", c.events, want)
	}
	c.events = nil
}

func (c *collector) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = nil
}

// fixture is a Service among fakes that knows Ada, whose password is right.
type fixture struct {
	*login.Service
	*steps
	store    *fakeStore
	hasher   *fakeHasher
	limiter  *recordingLimiter
	sessions *fakeSessions
	events   *collector
}

// generous are limits that no test reaches.
var generous = limits(nil)

// limits are generous but for some.
func limits(some ratelimit.Limits) ratelimit.Limits {
	out := ratelimit.Limits{}
	for _, p := range ratelimit.Policies() {
		out[p.Bucket] = ratelimit.Rate{Limit: 10_000_000, Period: time.Hour}
	}
	maps.Copy(out, some)
	return out
}

func devices(t *testing.T) token.DeviceCodec {
	t.Helper()
	master, err := token.ParseMaster("5Yw0m2a5k9m1o7u3JXz2Qd6m0c4n8b1v7x9s3f5h2k4=")
	if err != nil {
		t.Fatal(err)
	}
	return token.NewDeviceCodec(master)
}

func newFixture(t *testing.T, limits ratelimit.Limits) *fixture {
	t.Helper()
	limiter, err := ratelimit.New(make([]byte, 32), nil, ratelimit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	done, events := new(steps), new(collector)
	seen := &collector{} // as events, but never emptied
	f := &fixture{
		steps:    done,
		store:    &fakeStore{steps: done, accounts: map[string]account{}},
		hasher:   &fakeHasher{steps: done},
		limiter:  &recordingLimiter{steps: done, real: limiter},
		sessions: &fakeSessions{steps: done},
		events:   events,
	}
	f.add(ada, "new:"+right)
	log := slog.New(slog.NewMultiHandler(events, seen))
	f.Service = login.New(f.store, f.hasher, f.limiter, f.sessions, event.NewLog(log), login.Config{
		Limits: limits, Devices: devices(t), Pseudonym: pseudonym,
	})
	t.Cleanup(func() {
		if all := strings.ToLower(fmt.Sprint(seen.events)); strings.Contains(all, "canary") || strings.Contains(all, "@") {
			t.Errorf("an event repeats an address, a password or a token: %s", all)
		}
	})
	return f
}

func pseudonym(email string) string {
	sum := sha256.Sum256([]byte(email))
	return hex.EncodeToString(sum[:8])
}

func (f *fixture) add(email, hash string) user.User {
	u := user.User{ID: uuid.New(), Email: email, Roles: []user.Role{user.RoleUser}}
	f.store.accounts[email] = account{u, hash}
	return u
}

func (f *fixture) disable(email string) {
	a := f.store.accounts[email]
	a.DisabledAt = time.Unix(1, 0)
	f.store.accounts[email] = a
}

func (f *fixture) try(email, plain string) (session.Grant, error) {
	return f.Login(context.Background(), login.Input{Email: email, Password: plain, Client: clientAt("192.0.2.1")})
}

func clientAt(address string) session.Client {
	return session.Client{Address: netip.MustParseAddr(address), UserAgent: "canary browser"}
}

// one answer and one hash, whatever is wrong with the credentials.
func TestInvalidCredentials(t *testing.T) {
	tests := map[string]struct {
		email, plain string
		setUp        func(f *fixture)
		logged       string // the reason, which the log alone is told
	}{
		"there is no such account":             {email: nobody, plain: right, logged: "unknown account"},
		"the password is wrong":                {email: ada, plain: wrong, logged: "wrong password"},
		"an empty password is a wrong one":     {email: ada, logged: "wrong password"},
		"the account has no password":          {ada, right, func(f *fixture) { f.add(ada, "") }, "no usable password hash"},
		"an empty password is not no password": {ada, "", func(f *fixture) { f.add(ada, "") }, "no usable password hash"},
		"the stored hash cannot be read":       {ada, right, func(f *fixture) { f.add(ada, "$canary$") }, "no usable password hash"},
		"disabled is not told to a guesser":    {ada, wrong, func(f *fixture) { f.disable(ada) }, "wrong password"},
		"disabled and without a password": {ada, right, func(f *fixture) {
			f.add(ada, "")
			f.disable(ada)
		}, "no usable password hash"},
		"no address can be like this":          {email: "canary", plain: right, logged: "unknown account"},
		"an address with NUL is no outage":     {email: "canary\x00@example.com", plain: right, logged: "unknown account"},
		"nothing typed is an address like any": {logged: "unknown account"},
		"an address too long to be looked at":  {email: strings.Repeat("canary", 1000), plain: right, logged: "unknown account"},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, generous)
			if tt.setUp != nil {
				tt.setUp(f)
			}
			grant, err := f.try(tt.email, tt.plain)
			if err != login.ErrInvalidCredentials { // nothing around it either: answers are equal byte by byte
				t.Errorf("%v, want ErrInvalidCredentials itself", err)
			}
			if !reflect.DeepEqual(grant, session.Grant{}) {
				t.Errorf("a grant came with the error: %+v", grant)
			}
			if h := f.count("hash"); h != 1 {
				t.Errorf("H = %d, want 1", h)
			}
			if f.count("start") != 0 || f.count("replace") != 0 {
				t.Errorf("a failure went on: %v", f.all())
			}
			want := map[string]string{"event": "login.failed", "account": pseudonym("@" + strings.ToLower(strings.TrimSpace(tt.email))), "reason": tt.logged}
			if email, err := user.NormalizeEmail(tt.email); err == nil {
				want["account"] = pseudonym(email)
				if u, ok := f.store.accounts[email]; ok {
					want["user_id"] = u.ID.String()
				}
			} else if f.count("look up") != 0 {
				t.Error("the store was asked for an address that cannot be")
			}
			f.events.want(t, want)
		})
	}
}

// only who knows the password hears of the account's state.
func TestDisabled(t *testing.T) {
	f := newFixture(t, generous)
	f.add(ada, "old:"+right) // stale, which is nothing to do for somebody who may not come in
	f.disable(ada)
	grant, err := f.try(ada, right)
	if !errors.Is(err, login.ErrDisabled) || errors.Is(err, login.ErrInvalidCredentials) || !reflect.DeepEqual(grant, session.Grant{}) {
		t.Errorf("%+v, %v; want ErrDisabled", grant, err)
	}
	if got, want := f.all(), []string{"charge", "look up", "hash"}; !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
	f.events.want(t, map[string]string{
		"event": "login.failed", "reason": "account disabled", "account": pseudonym(ada),
		"user_id": f.store.accounts[ada].ID.String(),
	})
}

// one hash, one session, which replaces the presented one, and one event.
func TestLogin(t *testing.T) {
	for reason, typed := range map[string]string{
		"as stored":                         ada,
		"as people type an address (R-20)":  " Canary-ADA@EXAMPLE.com\t",
		"what looks alike is alike (NFC)":   "canary-zoe\u0308@example.com",
		"and in the other Unicode spelling": "canary-zo\u00eb@example.com",
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, generous)
			f.add("canary-zo\u00eb@example.com", "new:"+right)
			email, _ := user.NormalizeEmail(typed)
			u := f.store.accounts[email].User
			in := login.Input{Email: typed, Password: right, Client: clientAt("2001:db8::1"), Presented: token.NewSecret("canary old")}
			grant, err := f.Login(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if grant.User.ID != u.ID || grant.Refresh.Reveal() != "canary refresh" {
				t.Errorf("not the session's grant: %+v", grant)
			}
			if got, want := f.all(), []string{"charge", "look up", "hash", "start"}; !slices.Equal(got, want) {
				t.Errorf("steps %v, want %v", got, want)
			}
			if want := []started{{u, in.Client, in.Presented}}; !reflect.DeepEqual(f.sessions.started, want) {
				t.Errorf("Start got %+v, want %+v", f.sessions.started, want)
			}
			f.events.want(t, map[string]string{
				"event": "login.succeeded", "user_id": u.ID.String(), "session_id": grant.SessionID.String(),
			})
		})
	}
}

// Complete is for ways of signing in that have no password: it asks for none and charges nothing.
func TestComplete(t *testing.T) {
	f := newFixture(t, generous)
	u := f.store.accounts[ada].User
	grant, err := f.Complete(t.Context(), u, clientAt("192.0.2.1"), token.NewSecret("canary old"))
	if err != nil || grant.User.ID != u.ID {
		t.Fatalf("%+v, %v", grant, err)
	}
	if got := f.all(); !slices.Equal(got, []string{"start"}) || f.sessions.started[0].presented.Reveal() != "canary old" {
		t.Errorf("steps %v, Start got %+v", got, f.sessions.started)
	}
	f.events.want(t, map[string]string{
		"event": "login.succeeded", "user_id": u.ID.String(), "session_id": grant.SessionID.String(),
	})
}

// an outage is neither hidden nor taken for a wrong password, and no event claims what
// did not happen.
func TestOutages(t *testing.T) {
	tests := map[string]struct {
		email string
		setUp func(f *fixture)
		want  error
		steps []string
	}{
		"the database cannot be read": {ada, func(f *fixture) { f.store.readErr = errDown }, errDown,
			[]string{"charge", "look up"}},
		"too many hashes are being computed": {ada, func(f *fixture) { f.hasher.checkErr = password.ErrOverloaded },
			password.ErrOverloaded, []string{"charge", "look up", "hash"}},
		"an unknown account is overloaded alike": {nobody, func(f *fixture) { f.hasher.checkErr = password.ErrOverloaded },
			password.ErrOverloaded, []string{"charge", "look up", "hash"}},
		"an impossible address is too": {"canary", func(f *fixture) { f.hasher.checkErr = password.ErrOverloaded },
			password.ErrOverloaded, []string{"charge", "hash"}},
		"the session cannot be stored": {ada, func(f *fixture) { f.sessions.err = errDown }, errDown,
			[]string{"charge", "look up", "hash", "start"}},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, generous)
			tt.setUp(f)
			grant, err := f.try(tt.email, right)
			if !errors.Is(err, tt.want) || errors.Is(err, login.ErrInvalidCredentials) || errors.Is(err, user.ErrNotFound) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if strings.Contains(err.Error(), "canary") || !reflect.DeepEqual(grant, session.Grant{}) {
				t.Errorf("%+v, %v", grant, err)
			}
			if got := f.all(); !slices.Equal(got, tt.steps) {
				t.Errorf("steps %v, want %v", got, tt.steps)
			}
			f.events.want(t)
		})
	}
}
