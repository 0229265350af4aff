package login_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/internal/login"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/token"
)

// from is an attempt from an address with the mark of a device.
func (f *fixture) from(address, email, plain string, mark token.Secret) (session.Grant, error) {
	client := clientAt(address)
	client.Device = mark
	return f.Login(context.Background(), login.Input{Email: email, Password: plain, Client: client})
}

// mustLogin answers the mark that a right password brings.
func (f *fixture) mustLogin(t *testing.T, mark token.Secret) token.Secret {
	t.Helper()
	g, err := f.from("192.0.2.1", ada, right, mark)
	if err != nil {
		t.Fatal(err)
	}
	if g.Device.Empty() {
		t.Fatal("signed in, and no known device")
	}
	return g.Device
}

// strangers who use up every limit of the account, its address and its network do not lock
// its owner out of a browser that has logged in before.
func TestKnownDevice(t *testing.T) {
	tight := ratelimit.Rate{Limit: 3, Period: time.Hour}
	for _, bucket := range []string{ratelimit.LoginAccount, ratelimit.LoginStreak, ratelimit.LoginAddress, ratelimit.LoginNetwork} {
		t.Run(bucket, func(t *testing.T) {
			f := newFixture(t, limits(ratelimit.Limits{bucket: tight}))
			mark := f.mustLogin(t, token.Secret{})
			for range 20 {
				_, _ = f.try(ada, wrong)
			}
			var limit *ratelimit.Error
			if _, err := f.try(ada, right); !errors.As(err, &limit) || limit.Bucket != bucket {
				t.Fatalf("an unknown device is not limited: %v", err)
			}
			if _, err := f.from("192.0.2.1", ada, right, mark); err != nil {
				t.Errorf("the owner is locked out: %v", err)
			}
		})
	}
}

// A known device pays for its own mistakes, and nobody else pays for them.
func TestKnownDeviceHasItsOwnBudget(t *testing.T) {
	f := newFixture(t, limits(ratelimit.Limits{
		ratelimit.LoginDevice:  {Limit: 3, Period: time.Hour},
		ratelimit.LoginAccount: {Limit: 3, Period: time.Hour},
	}))
	laptop, phone := f.mustLogin(t, token.Secret{}), f.mustLogin(t, token.Secret{})
	for i := range 5 {
		_, err := f.from(fmt.Sprintf("198.51.100.%d", i), ada, wrong, laptop)
		var limit *ratelimit.Error
		if limited := errors.As(err, &limit) && limit.Bucket == ratelimit.LoginDevice; limited != (i >= 3) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if h := f.count("hash"); h != 2+3 {
		t.Errorf("H = %d: a throttled device had its password looked at (R-31)", h)
	}
	if _, err := f.from("192.0.2.1", ada, right, laptop); err == nil {
		t.Error("the throttled device got in (R-31)")
	}
	if _, err := f.from("192.0.2.1", ada, right, phone); err != nil {
		t.Errorf("another known device pays: %v", err)
	}
	if _, err := f.try(ada, wrong); !errors.Is(err, login.ErrInvalidCredentials) {
		t.Errorf("unknown devices pay: %v", err)
	}
}

// A mark is good for its account alone, stays the same device, and proves nothing.
func TestMarkOfADevice(t *testing.T) {
	f := newFixture(t, limits(ratelimit.Limits{ratelimit.LoginAccount: {Limit: 1, Period: time.Hour}}))
	own := "canary-own@example.com"
	f.add(own, "new:"+right)
	g, err := f.from("192.0.2.1", own, right, token.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.from("192.0.2.1", own, wrong, g.Device); !errors.Is(err, login.ErrInvalidCredentials) {
		t.Errorf("a mark signs in: %v", err)
	}
	for i := range 3 { // an attacker's own mark buys no guess at somebody else's account
		_, err := f.from("192.0.2.1", ada, wrong, g.Device)
		if throttled := !errors.Is(err, login.ErrInvalidCredentials); throttled != (i > 0) {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	id, err := devices(t).Decode(g.Device, own)
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.from("192.0.2.1", own, right, g.Device)
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := devices(t).Decode(again.Device, own); err != nil || renewed != id {
		t.Errorf("a log-in made it another device, with a fresh budget: %v", err)
	}
	if other, err := f.from("192.0.2.1", own, right, token.NewSecret("planted")); err != nil {
		t.Error(err)
	} else if fresh, err := devices(t).Decode(other.Device, own); err != nil || fresh == id {
		t.Errorf("a planted mark: %v, %v", fresh, err)
	}
}

// after a hundred failures in a row an unknown device waits, also with the right password;
// a known one does not, and a success begins a new count.
func TestFailuresInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, limits(ratelimit.Limits{ratelimit.LoginStreak: {Limit: 100, Period: 720 * time.Hour}}))
		mark := f.mustLogin(t, token.Secret{})
		for i := range 99 {
			if _, err := f.from(fmt.Sprintf("198.51.%d.7", i), ada, wrong, token.Secret{}); !errors.Is(err, login.ErrInvalidCredentials) {
				t.Fatalf("failure %d: %v", i, err)
			}
			time.Sleep(time.Hour)
		}
		f.mustLogin(t, token.Secret{}) // the hundredth was right
		for i := range 100 {
			if _, err := f.from(fmt.Sprintf("198.51.%d.7", i), ada, wrong, token.Secret{}); !errors.Is(err, login.ErrInvalidCredentials) {
				t.Fatalf("failure %d of the second row: %v", i, err)
			}
		}
		var limit *ratelimit.Error
		if _, err := f.from("203.0.113.9", ada, right, token.Secret{}); !errors.As(err, &limit) || limit.Bucket != ratelimit.LoginStreak {
			t.Errorf("the right password from an unknown device: %v", err)
		}
		if _, err := f.from("203.0.113.9", ada, right, mark); err != nil {
			t.Errorf("the right password from a known device: %v", err)
		}
	})
}

// who logs in to forty accounts from one address is stopped, though every password is right.
func TestManyAccountsFromOneAddress(t *testing.T) {
	f := newFixture(t, limits(ratelimit.Limits{ratelimit.LoginSpray: {Limit: 30, Period: time.Hour}}))
	passed := 0
	for i := range 40 {
		email := fmt.Sprintf("canary-%d@example.com", i)
		f.add(email, "new:"+right)
		for range 2 { // the second time costs nothing more
			if _, err := f.from(fmt.Sprintf("2001:db8::%x", i), email, right, token.Secret{}); err == nil {
				passed++
			}
		}
	}
	if passed != 60 {
		t.Errorf("%d log-ins to 40 accounts passed a limit of 30 accounts, want 60", passed)
	}
	if _, err := f.from("2001:db8:0:1::1", ada, right, token.Secret{}); err != nil {
		t.Errorf("another subscriber: %v", err)
	}
}

// a wave of guesses, each at another account from another address, tightens the
// limits of unknown devices, tell the operator once, and leave known devices alone.
func TestSurgeTightensLimits(t *testing.T) {
	f := newFixture(t, limits(ratelimit.Limits{ratelimit.LoginAccount: {Limit: 8, Period: time.Hour}}))
	mark := f.mustLogin(t, token.Secret{})
	for i := range 1_000 {
		_, _ = f.from(fmt.Sprintf("10.%d.%d.1", i/250, i%250), fmt.Sprintf("canary-%d@example.com", i), wrong, token.Secret{})
	}
	told := 0
	for _, e := range f.events.events {
		if e["event"] == "login.surge" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	for i := range 4 {
		_, err := f.from("192.0.2.77", nobody, wrong, token.Secret{})
		if throttled := !errors.Is(err, login.ErrInvalidCredentials); throttled != (i >= 2) {
			t.Errorf("guess %d in the surge: %v", i, err)
		}
	}
	f.mustLogin(t, mark)
}
