package login_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/internal/login"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
)

func perHour(address, account int64) ratelimit.Limits {
	return limits(ratelimit.Limits{
		ratelimit.LoginAddress: {Limit: address, Period: time.Hour},
		ratelimit.LoginAccount: {Limit: account, Period: 2 * time.Hour},
	})
}

// what an attempt is charged to, the address first.
func TestCharges(t *testing.T) {
	known, unknown := clientAt("192.0.2.1"), session.Client{}
	tests := map[string]struct {
		email                     string
		client                    session.Client
		address, network, account string
	}{
		"an account by its address":                      {ada, known, "192.0.2.1/32", "192.0.2.0/24", ada},
		"the same account, otherwise typed":              {" Canary-ADA@EXAMPLE.com", known, "192.0.2.1/32", "192.0.2.0/24", ada},
		"an account that does not exist, no differently": {nobody, known, "192.0.2.1/32", "192.0.2.0/24", nobody},
		"an impossible address is charged too":           {"canary", known, "192.0.2.1/32", "192.0.2.0/24", "@canary"},
		"and so is none":                                 {"", known, "192.0.2.1/32", "192.0.2.0/24", "@"},
		"an IPv6 client by its /64":                      {ada, clientAt("2001:db8:0:1:2:3:4:5"), "2001:db8:0:1::/64", "2001:db8::/48", ada},
		"a client whose address is not known":            {ada, unknown, "unknown", "unknown", ada},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			all := perHour(7, 5)
			f := newFixture(t, all)
			_, _ = f.Login(t.Context(), login.Input{Email: tt.email, Password: wrong, Client: tt.client})
			spray := all.Charge(ratelimit.LoginSpray, tt.address)
			spray.Member = tt.account
			want := []ratelimit.Charge{
				all.Charge(ratelimit.LoginAddress, tt.address), all.Charge(ratelimit.LoginNetwork, tt.network), spray,
				all.Charge(ratelimit.LoginAccount, tt.account), all.Charge(ratelimit.LoginStreak, tt.account),
			}
			if !slices.Equal(f.limiter.charges, want) {
				t.Errorf("charged %+v, want %+v", f.limiter.charges, want)
			}
			if got := f.all(); got[0] != "charge" || f.count("charge") != 1 {
				t.Errorf("not charged once, before everything else (R-30): %v", got)
			}
		})
	}
}

// what an attempt costs once it is over. A unit comes back where the password was
// right or not looked at, and never more than that unit.
func TestRefunds(t *testing.T) {
	tests := map[string]struct {
		email, plain string
		setUp        func(f *fixture)
		kept         int // units that this attempt costs
	}{
		"a success is free":                         {email: ada, plain: right},
		"a wrong password is not":                   {email: ada, plain: wrong, kept: 1},
		"nor is an account that does not exist":     {email: nobody, plain: right, kept: 1},
		"nor is an impossible address":              {email: "canary", plain: right, kept: 1},
		"nor is an account without a password":      {ada, right, func(f *fixture) { f.add(ada, "") }, 1},
		"nor is a guess at a disabled account":      {ada, wrong, func(f *fixture) { f.disable(ada) }, 1},
		"the right password of a disabled account":  {ada, right, func(f *fixture) { f.disable(ada) }, 0},
		"an overloaded hasher checked nothing":      {ada, wrong, func(f *fixture) { f.hasher.checkErr = password.ErrOverloaded }, 0},
		"nor did it where there is no account":      {nobody, wrong, func(f *fixture) { f.hasher.checkErr = password.ErrOverloaded }, 0},
		"a client that hung up learnt nothing":      {ada, wrong, func(f *fixture) { f.hasher.checkErr = context.Canceled }, 0},
		"a database that is down is nobody's guess": {ada, wrong, func(f *fixture) { f.store.readErr = errDown }, 0},
		"a session that cannot start":               {ada, right, func(f *fixture) { f.sessions.err = errDown }, 0},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			const address, account = 9, 7
			f := newFixture(t, perHour(address, account))
			_, _ = f.try(ada, wrong) // a unit that nothing gives back
			_, _ = f.try(nobody, wrong)
			_, _ = f.try("canary", wrong)
			if tt.setUp != nil {
				tt.setUp(f)
			}
			_, _ = f.try(tt.email, tt.plain)
			charges := f.limiter.charges[15:]
			if left := f.limiter.left(t, charges[0]); left != address-3-tt.kept {
				t.Errorf("the address has %d left, want %d", left, address-3-tt.kept)
			}
			if left := f.limiter.left(t, charges[3]); left != account-1-tt.kept {
				t.Errorf("the account has %d left, want %d", left, account-1-tt.kept)
			}
		})
	}
}

// a right password, whatever follows, ends the row of failures, and the account was
// tried; an attempt at which nobody has looked neither ends nor costs anything.
func TestWhatSuccessesCost(t *testing.T) {
	tests := map[string]struct {
		plain         string
		setUp         func(f *fixture)
		streak, spray int // what is left
	}{
		"the right password":                           {right, nil, 5, 6},
		"the right password of a disabled account":     {right, func(f *fixture) { f.disable(ada) }, 5, 6},
		"a wrong one":                                  {wrong, nil, 2, 6},
		"an overloaded hasher checked nothing":         {right, func(f *fixture) { f.hasher.checkErr = password.ErrOverloaded }, 3, 7},
		"a database that is down has not been asked":   {right, func(f *fixture) { f.store.readErr = errDown }, 3, 7},
		"a session that cannot start, after a success": {right, func(f *fixture) { f.sessions.err = errDown }, 5, 6},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, limits(ratelimit.Limits{
				ratelimit.LoginStreak: {Limit: 5, Period: time.Hour}, ratelimit.LoginSpray: {Limit: 7, Period: time.Hour},
			}))
			for range 2 { // from elsewhere
				_, _ = f.Login(t.Context(), login.Input{Email: ada, Password: wrong, Client: clientAt("198.51.100.1")})
			}
			if tt.setUp != nil {
				tt.setUp(f)
			}
			_, _ = f.try(ada, tt.plain)
			charges := f.limiter.charges[10:]
			if left := f.limiter.left(t, charges[4]); left != tt.streak {
				t.Errorf("%d more failures in a row, want %d", left, tt.streak)
			}
			left := 0
			for i := range 8 {
				spray := charges[2]
				spray.Member = fmt.Sprint("another ", i)
				left += f.limiter.one(t, spray)
			}
			if left != tt.spray {
				t.Errorf("%d more accounts, want %d", left, tt.spray)
			}
		})
	}
}

// a throttled attempt hashes nothing, asks nobody and tells nothing.
func TestThrottledAnswersAreEqual(t *testing.T) {
	tests := map[string]struct{ email, plain string }{
		"the right password":                      {ada, right},
		"a wrong one":                             {ada, wrong},
		"an account that does not exist":          {nobody, right},
		"an impossible address":                   {"canary", right},
		"the account by another spelling":         {"CANARY-ada@example.COM ", right},
		"an account that is disabled":             {"canary-off@example.com", right},
		"an account without a password, or stale": {"canary-none@example.com", right},
	}
	for limit, cfg := range map[string]ratelimit.Limits{"login-account": perHour(100, 2), "login-address": perHour(2, 100)} {
		for reason, tt := range tests {
			t.Run(limit+": "+reason, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // time stands still, so RetryAfter can be compared
					f := newFixture(t, cfg)
					f.add("canary-none@example.com", "")
					f.add("canary-off@example.com", "old:"+right)
					f.disable("canary-off@example.com")
					for range 2 {
						if _, err := f.try(tt.email, wrong); !errors.Is(err, login.ErrInvalidCredentials) {
							t.Fatal(err)
						}
					}
					before := len(f.all())
					f.events.forget()

					grant, err := f.try(tt.email, tt.plain)
					period := map[string]time.Duration{"login-account": time.Minute, "login-address": time.Hour}[limit]
					if want := (&ratelimit.Error{RetryAfter: period, Bucket: limit}); !reflect.DeepEqual(err, want) {
						t.Errorf("%#v, want %#v", err, want)
					}
					if got := f.all()[before:]; !slices.Equal(got, []string{"charge"}) || !reflect.DeepEqual(grant, session.Grant{}) {
						t.Errorf("throttled, and yet: %v, %+v", got, grant)
					}
					charged := f.limiter.charges[len(f.limiter.charges)-1].Key // the account
					f.events.want(t, map[string]string{"event": "login.throttled", "account": pseudonym(charged), "reason": limit})
				})
			})
		}
	}
}

// An address that has used up its own limit cannot use up that of an account: nobody is locked
// out by one stranger with one address (R-33 in part).
func TestThrottledAddressDoesNotChargeAccounts(t *testing.T) {
	f := newFixture(t, perHour(3, 10))
	for range 50 {
		_, _ = f.try(ada, wrong)
	}
	if h := f.count("hash"); h != 3 {
		t.Errorf("H = %d, want 3", h)
	}
	if left := f.limiter.left(t, f.limiter.charges[3]); left != 7 {
		t.Errorf("the account has %d left, want 7", left)
	}
}

// an account is limited whatever the addresses, whether or not it exists.
func TestAccountLimitHoldsForManyAddresses(t *testing.T) {
	for reason, email := range map[string]string{"an account": ada, "no account": nobody} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, perHour(5, 10))
			for i := range 50 {
				client := clientAt(fmt.Sprintf("198.51.100.%d", i))
				_, err := f.Login(t.Context(), login.Input{Email: email, Password: wrong, Client: client})
				if invalid := errors.Is(err, login.ErrInvalidCredentials); invalid != (i < 10) {
					t.Fatalf("attempt %d: %v", i, err)
				}
			}
			if h := f.count("hash"); h != 10 {
				t.Errorf("H = %d, want 10", h)
			}
		})
	}
}

// guesses at once are no way round the limit.
func TestGuessesAtOnce(t *testing.T) {
	f := newFixture(t, perHour(1000, 10))
	var guesses sync.WaitGroup
	for range 100 {
		guesses.Go(func() { _, _ = f.try(ada, wrong) })
	}
	guesses.Wait()
	if h := f.count("hash"); h != 10 {
		t.Errorf("H = %d, want 10", h)
	}
}

// whoever has an account of their own gets no guess more by logging in to it.
func TestSuccessInBetweenResetsNothing(t *testing.T) {
	f := newFixture(t, perHour(20, 1000))
	own := "canary-own@example.com"
	f.add(own, "new:"+right)
	guesses := 0
	for range 10 {
		for range 9 {
			if _, err := f.try(ada, wrong); errors.Is(err, login.ErrInvalidCredentials) {
				guesses++
			}
		}
		_, _ = f.try(own, right)
	}
	if guesses != 20 {
		t.Errorf("%d guesses from one address, want 20", guesses)
	}
}

// only what a limit refused is told as throttled.
func TestUnchargedAttempts(t *testing.T) {
	gone, hangUp := context.WithCancel(context.Background())
	hangUp()
	tests := map[string]struct {
		ctx  context.Context
		cfg  ratelimit.Limits
		want error
	}{
		"the client hung up":      {gone, generous, context.Canceled},
		"no limit was ever set":   {context.Background(), nil, ratelimit.ErrInvalidCharge},
		"one of them was not set": {context.Background(), limits(ratelimit.Limits{ratelimit.LoginStreak: {}}), ratelimit.ErrInvalidCharge},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, tt.cfg)
			_, err := f.Login(tt.ctx, login.Input{Email: ada, Password: right, Client: clientAt("192.0.2.1")})
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if got := f.all(); !slices.Equal(got, []string{"charge"}) {
				t.Errorf("not charged, and yet: %v", got)
			}
			f.events.want(t)
		})
	}
}

// a login brings a stale hash up to date, which can wait for the next one.
func TestRehash(t *testing.T) {
	tests := map[string]struct {
		hash, plain string
		setUp       func(f *fixture)
		stored      string // afterwards
		steps       []string
		logged      string // the reason of the event, if there is one
	}{
		"a hash of today stays": {hash: "new:" + right, plain: right, stored: "new:" + right,
			steps: []string{"charge", "look up", "hash", "start"}},
		"a stale one is replaced": {hash: "old:" + right, plain: right, stored: "new:" + right,
			steps: []string{"charge", "look up", "hash", "hash", "replace", "start"}},
		"not by a wrong password": {hash: "old:" + right, plain: wrong, stored: "old:" + right,
			steps: []string{"charge", "look up", "hash"}},
		"a password that was changed meanwhile survives": {"old:" + right, right, func(f *fixture) {
			f.hasher.whileHashing = func() { f.setHash(ada, "new:changed") }
		}, "new:changed", []string{"charge", "look up", "hash", "hash", "replace", "start"}, ""},
		"no room for a second hash": {"old:" + right, right, func(f *fixture) {
			f.hasher.hashErr = password.ErrOverloaded
		}, "old:" + right, []string{"charge", "look up", "hash", "hash", "start"}, "password: overloaded"},
		"the new one cannot be stored": {"old:" + right, right, func(f *fixture) {
			f.store.replaceErr = errDown
		}, "old:" + right, []string{"charge", "look up", "hash", "hash", "replace", "start"}, "the database is down"},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, generous)
			u := f.add(ada, tt.hash)
			if tt.setUp != nil {
				tt.setUp(f)
			}
			grant, err := f.try(ada, tt.plain)
			if (err == nil) != (tt.plain == right) {
				t.Fatal(err)
			}
			if got := f.store.accounts[ada].hash; got != tt.stored {
				t.Errorf("stored %q, want %q", got, tt.stored)
			}
			if got := f.all(); !slices.Equal(got, tt.steps) {
				t.Errorf("steps %v, want %v", got, tt.steps)
			}
			if f.count("replace") == 1 && (f.store.replaced != tt.hash || f.store.replacedBy != "new:"+right) {
				t.Errorf("replaced %q by %q", f.store.replaced, f.store.replacedBy)
			}
			if err != nil {
				return
			}
			var want []map[string]string
			if f.count("hash") == 2 {
				want = append(want, map[string]string{"event": "password.rehashed", "user_id": u.ID.String()})
			}
			if tt.logged != "" {
				want[0]["event"], want[0]["reason"] = "password.rehash_failed", tt.logged
			}
			f.events.want(t, append(want, map[string]string{
				"event": "login.succeeded", "user_id": u.ID.String(), "session_id": grant.SessionID.String(),
			})...)
		})
	}
}

func (f *fixture) setHash(email, hash string) {
	a := f.store.accounts[email]
	a.hash = hash
	f.store.accounts[email] = a
}
