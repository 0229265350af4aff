package signup_test

import (
	"context"
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
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/input"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/signup"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Every address, name and password of these tests has "canary" in it, which neither an event
// nor an error may repeat: newFixture checks the events at the end of each test.
const (
	ada     = "canary-ada@example.com"
	good    = "canary correct horse"
	service = "Canary Accounts"
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

func (s *steps) want(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.done, want) {
		t.Errorf("steps %v, want %v", s.done, want)
	}
}

// count answers how often a step was taken; count("hash") is the H of the requirements.
func (s *steps) count(step string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, done := range s.done {
		if done == step {
			n++
		}
	}
	return n
}

type fakeStore struct {
	*steps
	err    error
	users  map[string]user.User // by address
	hashes map[string]string
	mu     sync.Mutex
}

func (s *fakeStore) CreateUser(_ context.Context, u user.User, passwordHash string) (user.User, error) {
	s.note("create")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return user.User{}, s.err
	}
	if _, taken := s.users[u.Email]; taken {
		return user.User{}, fmt.Errorf("wrapped: %w", user.ErrEmailTaken)
	}
	u.CreatedAt = time.Unix(1, 0)
	s.users[u.Email], s.hashes[u.Email] = u, passwordHash
	return u, nil
}

type fakeHasher struct {
	*steps
	err error
}

func (h *fakeHasher) Hash(_ context.Context, plain string) (string, error) {
	h.note("hash")
	return "hash of " + plain, h.err
}

func limits(perHour int64) ratelimit.Limits {
	return ratelimit.Limits{ratelimit.SignupAddress: {Limit: perHour, Period: time.Hour}}
}

// recordingLimiter remembers the charges and lets a real limiter decide.
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

type completed struct {
	user      user.User
	client    session.Client
	presented token.Secret
}

// fakeLogin starts a session in the place of login.Complete.
type fakeLogin struct {
	*steps
	err       error
	mu        sync.Mutex
	completed []completed
}

func (l *fakeLogin) Complete(_ context.Context, u user.User, c session.Client, presented token.Secret) (session.Grant, error) {
	l.note("complete")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.completed = append(l.completed, completed{u, c, presented})
	if l.err != nil {
		return session.Grant{}, l.err
	}
	return session.Grant{User: u, Refresh: token.NewSecret("canary refresh")}, nil
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

// want demands exactly these events.
func (c *collector) want(t *testing.T, want ...map[string]string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.EqualFunc(c.events, want, maps.Equal) {
		t.Errorf("events %v, want %v", c.events, want)
	}
}

// fixture is a Service among fakes, without any user.
type fixture struct {
	*signup.Service
	*steps
	store   *fakeStore
	hasher  *fakeHasher
	limiter *recordingLimiter
	login   *fakeLogin
	events  *collector
}

func newFixture(t *testing.T, limit int64) *fixture {
	t.Helper()
	limiter, err := ratelimit.New(make([]byte, 32), nil, ratelimit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := password.NewPolicy(10)
	if err != nil {
		t.Fatal(err)
	}
	done, events := new(steps), new(collector)
	f := &fixture{
		steps:   done,
		store:   &fakeStore{steps: done, users: map[string]user.User{}, hashes: map[string]string{}},
		hasher:  &fakeHasher{steps: done},
		limiter: &recordingLimiter{steps: done, real: limiter},
		login:   &fakeLogin{steps: done},
		events:  events,
	}
	f.Service = signup.New(f.store, f.hasher, f.limiter, f.login, event.NewLog(slog.New(events)), signup.Config{
		Limits: limits(limit), Password: policy, Service: service,
	})
	t.Cleanup(func() {
		if all := strings.ToLower(fmt.Sprint(events.events)); strings.Contains(all, "canary") || strings.Contains(all, "@") {
			t.Errorf("an event repeats what somebody typed: %s", all)
		}
	})
	return f
}

func (f *fixture) signUp(email string) (session.Grant, error) {
	return f.SignUp(context.Background(), signup.Input{Email: email, Password: good}, home(), token.NewSecret("canary old"))
}

func home() session.Client {
	return session.Client{Address: netip.MustParseAddr("2001:db8:0:1::7"), UserAgent: "canary browser"}
}

// every mistake at once, for the field it is in, free of charge
// and without a hash.
func TestMistakes(t *testing.T) {
	type mistake struct {
		field string
		code  input.Code
	}
	blocklisted := []mistake{{"password", "PASSWORD_BLOCKLISTED"}}
	tests := map[string]struct {
		in   signup.Input
		want []mistake
	}{
		"nothing was typed, and a name is not needed": {signup.Input{},
			[]mistake{{"email", input.Required}, {"password", input.Required}}},
		"spaces are no address": {signup.Input{Email: " \t\n", Password: good}, []mistake{{"email", input.Required}}},
		"everything typed is wrong": {signup.Input{Email: "canary", Name: "canary\x00", Password: "canary"},
			[]mistake{{"email", input.Invalid}, {"name", input.Invalid}, {"password", "PASSWORD_TOO_SHORT"}}},
		"NUL in an address is no outage (R-20)": {signup.Input{Email: "canary\x00@example.com", Password: good},
			[]mistake{{"email", input.Invalid}}},
		"a right password does not excuse the name": {signup.Input{Email: ada, Name: "canary\nname", Password: good},
			[]mistake{{"name", input.Invalid}}},
		"a password beyond hashing (R-02)": {signup.Input{Email: ada, Password: strings.Repeat("canary", 50)},
			[]mistake{{"password", "PASSWORD_TOO_LONG"}}},
		"what broken bytes turn into (R-04)": {signup.Input{Email: ada, Password: good + "\ufffd"},
			[]mistake{{"password", "PASSWORD_INVALID"}}},
		"one of the common passwords (R-06)":     {signup.Input{Email: ada, Password: "Password123"}, blocklisted},
		"the service's name (R-06)":              {signup.Input{Email: ada, Password: "canary ACCOUNTS"}, blocklisted},
		"the own address (R-06)":                 {signup.Input{Email: ada, Password: "Canary-Ada@Example.com"}, blocklisted},
		"the address as stored, not as typed":    {signup.Input{Email: " Canary-ADA@EXAMPLE.com", Password: ada}, blocklisted},
		"the address up to its @ (R-06)":         {signup.Input{Email: ada, Password: "canary-ADA"}, blocklisted},
		"the own name":                           {signup.Input{Email: ada, Name: " Canary Lovelace ", Password: "canary lovelace"}, blocklisted},
		"context counts beside another mistake":  {signup.Input{Email: "canary", Password: service}, append([]mistake{{"email", input.Invalid}}, blocklisted...)},
		"the local part's length is its owner's": {signup.Input{Email: "canary@example.com", Password: "canary"}, []mistake{{"password", "PASSWORD_TOO_SHORT"}}},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, 1)
			grant, err := f.SignUp(t.Context(), tt.in, home(), token.Secret{})
			u, registerErr := f.Register(t.Context(), tt.in)
			if !reflect.DeepEqual(grant, session.Grant{}) || u.CreatedAt != (time.Time{}) || u.ID != uuid.Nil {
				t.Errorf("an account came with the error: %+v, %+v", grant, u)
			}
			if !reflect.DeepEqual(err, registerErr) {
				t.Errorf("SignUp says %v, Register %v", err, registerErr)
			}
			var mistakes *input.Error
			if !errors.As(err, &mistakes) {
				t.Fatalf("%v, want *input.Error", err)
			}
			var got []mistake
			for _, m := range mistakes.Mistakes {
				got = append(got, mistake{m.Field, m.Code})
				if m.Message == "" || strings.Contains(strings.ToLower(m.Message), "canary") {
					t.Errorf("%s: message %q", m.Field, m.Message)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
			f.steps.want(t) // neither charged nor hashed
			f.events.want(t)
		})
	}
}

// charge, hash, create, sign in; each once, in this order.
func TestSignUp(t *testing.T) {
	f := newFixture(t, 5)
	in := signup.Input{Email: " Canary-ADA@EXAMPLE.com ", Password: good, Name: "  Canary Ada "}
	grant, err := f.SignUp(t.Context(), in, home(), token.NewSecret("canary old"))
	if err != nil {
		t.Fatal(err)
	}
	f.steps.want(t, "charge", "hash", "create", "complete")
	want := []ratelimit.Charge{limits(5).Charge(ratelimit.SignupAddress, "2001:db8:0:1::/64")}
	if !slices.Equal(f.limiter.charges, want) {
		t.Errorf("charged %+v, want %+v (R-35)", f.limiter.charges, want)
	}
	u := f.store.users[ada]
	if u.Name != "Canary Ada" || !slices.Equal(u.Roles, []user.Role{user.RoleUser}) || u.EmailVerified || u.Disabled() {
		t.Errorf("stored %+v", u)
	}
	if f.store.hashes[ada] != "hash of "+good {
		t.Errorf("stored hash %q", f.store.hashes[ada])
	}
	if !reflect.DeepEqual(f.login.completed, []completed{{u, home(), token.NewSecret("canary old")}}) {
		t.Errorf("Complete got %+v: it is to have the user as stored and the presented token (R-22)", f.login.completed)
	}
	if grant.User.ID != u.ID || grant.Refresh.Reveal() != "canary refresh" {
		t.Errorf("not the grant of Complete: %+v", grant)
	}
	f.events.want(t, map[string]string{"event": "signup.succeeded", "user_id": u.ID.String()})
}

// what stops a sign-up is told as what it is, and nobody is signed in.
func TestSignUpFails(t *testing.T) {
	tests := map[string]struct {
		setUp  func(f *fixture)
		want   error
		steps  []string
		events []map[string]string
	}{
		"the address is taken, after the same one hash": {func(f *fixture) { f.store.users[ada] = user.User{} }, user.ErrEmailTaken,
			[]string{"charge", "hash", "create"}, []map[string]string{{"event": "signup.refused", "reason": "email taken"}}},
		"too many hashes are being computed": {func(f *fixture) { f.hasher.err = password.ErrOverloaded }, password.ErrOverloaded,
			[]string{"charge", "hash"}, nil},
		"the database is down": {func(f *fixture) { f.store.err = errDown }, errDown,
			[]string{"charge", "hash", "create"}, nil},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, 2)
			tt.setUp(f)
			grant, err := f.signUp(ada)
			if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "canary") || !reflect.DeepEqual(grant, session.Grant{}) {
				t.Errorf("%+v, %v; want %v", grant, err, tt.want)
			}
			if tt.want != user.ErrEmailTaken && errors.Is(err, user.ErrEmailTaken) {
				t.Errorf("an outage is taken for an account: %v", err)
			}
			f.steps.want(t, tt.steps...)
			f.events.want(t, tt.events...)

			_, err = f.Register(t.Context(), signup.Input{Email: ada, Password: good})
			if !errors.Is(err, tt.want) {
				t.Errorf("Register: %v, want %v", err, tt.want)
			}
			// That an address is taken is news, and costs; a failure of ours does not.
			_, _ = f.signUp(ada)
			var limit *ratelimit.Error
			if _, err := f.signUp(ada); errors.As(err, &limit) != (tt.want == user.ErrEmailTaken) {
				t.Errorf("the third attempt of two: %v", err)
			}
		})
	}
}

func TestAccountOutlivesAFailingLogin(t *testing.T) {
	f := newFixture(t, 5)
	f.login.err = errDown
	if _, err := f.signUp(ada); !errors.Is(err, errDown) {
		t.Errorf("%v, want %v", err, errDown)
	}
	u, created := f.store.users[ada]
	if !created {
		t.Fatal("no account")
	}
	f.events.want(t, map[string]string{"event": "signup.succeeded", "user_id": u.ID.String()})
}

// beyond the limit nothing is hashed, and nobody learns whether an address is taken.
func TestThrottled(t *testing.T) {
	for reason, email := range map[string]string{"a new address": "canary-new@example.com", "a taken one": ada} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // time stands still, so RetryAfter can be compared
				f := newFixture(t, 1)
				if _, err := f.signUp(ada); err != nil {
					t.Fatal(err)
				}
				grant, err := f.signUp(email)
				if want := (&ratelimit.Error{RetryAfter: time.Hour, Bucket: "signup-address"}); !reflect.DeepEqual(err, want) {
					t.Errorf("%#v, want %#v", err, want)
				}
				if !reflect.DeepEqual(grant, session.Grant{}) {
					t.Errorf("throttled, and yet %+v", grant)
				}
				f.steps.want(t, "charge", "hash", "create", "complete", "charge")
				f.events.want(t, map[string]string{"event": "signup.succeeded", "user_id": f.store.users[ada].ID.String()},
					map[string]string{"event": "signup.refused", "reason": "rate limited"})
			})
		})
	}
}

// only what a limit refused is told as rate limited.
func TestUnchargedAttempts(t *testing.T) {
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	f := newFixture(t, 5)
	_, err := f.SignUp(ctx, signup.Input{Email: ada, Password: good}, home(), token.Secret{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	f.steps.want(t, "charge")
	f.events.want(t)
}

// attempts at once are no way round the limit.
func TestSignUpsAtOnce(t *testing.T) {
	f := newFixture(t, 5)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { _, _ = f.signUp(fmt.Sprintf("canary-%d@example.com", i)) })
	}
	all.Wait()
	if h := f.count("hash"); h != 5 || f.count("complete") != 5 || len(f.store.users) != 5 {
		t.Errorf("H = %d, %d signed in, %d accounts; want 5 of each", h, f.count("complete"), len(f.store.users))
	}
}

// Register is the operator's: neither limited nor signed in, and it may do without both.
func TestRegister(t *testing.T) {
	f := newFixture(t, 1)
	accounts := signup.New(f.store, f.hasher, nil, nil, event.NewLog(slog.New(f.events)), signup.Config{Service: service})
	var want []map[string]string
	for i := range 3 {
		roles := []user.Role{user.RoleAdmin, user.RoleUser}
		in := signup.Input{Email: fmt.Sprintf("canary-%d@example.com", i), Password: good, Name: "Canary", Roles: roles}
		u, err := accounts.Register(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(u, f.store.users[in.Email]) || !slices.Equal(u.Roles, roles) || u.CreatedAt.IsZero() {
			t.Errorf("%+v, stored %+v", u, f.store.users[in.Email])
		}
		want = append(want, map[string]string{"event": "signup.succeeded", "user_id": u.ID.String()})
	}
	f.steps.want(t, "hash", "create", "hash", "create", "hash", "create")
	f.events.want(t, want...)
}

// an id is random, and not that of a deleted account with the same address.
func TestIDs(t *testing.T) {
	f := newFixture(t, 1)
	seen := map[uuid.UUID]bool{}
	for range 100 {
		u, err := f.Register(t.Context(), signup.Input{Email: ada, Password: good})
		if err != nil {
			t.Fatal(err)
		}
		if u.ID.Version() != 4 || seen[u.ID] {
			t.Fatalf("id %v: not random or given before", u.ID)
		}
		seen[u.ID] = true
		delete(f.store.users, ada)
	}
}
