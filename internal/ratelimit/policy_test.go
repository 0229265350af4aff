package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func limits(bucket string, limit int64, period time.Duration) Limits {
	return Limits{bucket: {limit, period}}
}

// A bucket that no table names, or that has no rate, cannot be charged by mistake.
func TestChargeWithoutARate(t *testing.T) {
	l := newTest(t, nil, Config{})
	for reason, c := range map[string]Charge{
		"a bucket without a rate": limits(LoginAccount, 1, time.Minute).Charge(LoginAddress, "a"),
		"no rates at all":         Limits(nil).Charge(LoginAddress, "a"),
		"a part of no rate":       Limits(nil).Charge(LoginAddress, "a").Part(4),
	} {
		if _, err := l.Reserve(t.Context(), c); !errors.Is(err, ErrInvalidCharge) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// every bucket has words for the documentation.
func TestPolicies(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Policies() {
		if p.Key == "" || p.Charged == "" || p.Refused == "" || strings.ContainsFunc(p.Bucket, notInBucket) || seen[p.Bucket] {
			t.Errorf("%+v", p)
		}
		seen[p.Bucket] = true
	}
}

// Beyond its limit a spaced bucket lets one attempt pass after 1, 2, 4, 8 and then every 15
// minutes: nobody is locked out for as long as a window lasts, and a guesser gains little.
func TestSpacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, nil, Config{})
		c := limits(LoginAccount, 3, 24*time.Hour).Charge(LoginAccount, "a")
		for range 3 {
			mustReserve(t, l, c)
		}
		for _, minutes := range []time.Duration{1, 2, 4, 8, 15, 15, 15} {
			for range 5 { // who is refused neither wins nor prolongs anything
				if after := mustReach(t, l, c); after != minutes*time.Minute {
					t.Fatalf("RetryAfter %v, want %v minutes", after, int(minutes))
				}
			}
			time.Sleep(minutes*time.Minute - time.Second)
			mustReach(t, l, c)
			time.Sleep(time.Second)
			mustReserve(t, l, c)
		}
		mustReach(t, l, c)
		mustReserve(t, l, limits(LoginAccount, 3, 24*time.Hour).Charge(LoginAccount, "b"))
	})
}

// in a day no more than a hundred guesses or so, however patient.
func TestSpacingBoundsADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, nil, Config{})
		all := Limits{LoginAccount: {10, 24 * time.Hour}, LoginStreak: {100, 24 * time.Hour}}
		charges := []Charge{all.Charge(LoginAccount, "a"), all.Charge(LoginStreak, "a")}
		passed := 0
		for range 24 * 60 {
			if _, err := l.Reserve(t.Context(), charges...); err == nil {
				passed++
			}
			time.Sleep(time.Minute)
		}
		if passed < 90 || passed > 100 {
			t.Errorf("%d guesses in a day", passed)
		}
	})
}

// of any number at once no more than the limit pass a spaced bucket.
func TestSpacingIsAtomic(t *testing.T) {
	if n := storm(limits(LoginAccount, 10, time.Hour).Charge(LoginAccount, "a"), newTest(t, nil, Config{})); n != 10 {
		t.Fatalf("%d of 1000 passed a limit of 10", n)
	}
}

// An honest attempt leaves nobody waiting.
func TestForgiveEndsTheWait(t *testing.T) {
	l := newTest(t, nil, Config{})
	c := limits(LoginAccount, 1, time.Hour).Charge(LoginAccount, "a")
	for range 5 {
		mustReserve(t, l, c).Forgive(t.Context())
	}
	mustReserve(t, l, c)
	mustReach(t, l, c)
}

// a streak is of failures in a row; a success ends it, an attempt that was not made does not.
func TestStreak(t *testing.T) {
	l := newTest(t, nil, Config{})
	c := limits(LoginStreak, 3, time.Hour).Charge(LoginStreak, "a")
	mustReserve(t, l, c)
	mustReserve(t, l, c)
	mustReserve(t, l, c).Refund(t.Context())
	r := mustReserve(t, l, c)
	mustReach(t, l, c)
	r.Forgive(t.Context())
	for range 3 {
		mustReserve(t, l, c)
	}
	mustReach(t, l, c)
}

// However successes and attempts that were not made cross, no count falls below zero: that would
// be a guess too many.
func TestStreakAndRefundsCross(t *testing.T) {
	l := newTest(t, nil, Config{})
	c := limits(LoginStreak, 3, time.Hour).Charge(LoginStreak, "a")
	first, second := mustReserve(t, l, c), mustReserve(t, l, c)
	first.Refund(t.Context())
	second.Forgive(t.Context())
	for range 3 {
		mustReserve(t, l, c)
	}
	mustReach(t, l, c)
}

// what counts is how many different accounts, successes included.
func TestDistinctMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, nil, Config{})
		try := func(address string, member int) (*Reservation, error) {
			c := limits(LoginSpray, 3, time.Hour).Charge(LoginSpray, address)
			c.Member = fmt.Sprint("account ", member)
			return l.Reserve(t.Context(), c)
		}
		for i := range 3 {
			for range 20 {
				r, err := try("a", i)
				if err != nil {
					t.Fatalf("account %d: %v", i, err)
				}
				r.Forgive(t.Context())
			}
		}
		for range 2 {
			if _, err := try("a", 3); err == nil {
				t.Fatal("a fourth account")
			}
		}
		if _, err := try("a", 2); err != nil {
			t.Fatalf("an account that was tried before: %v", err)
		}
		if _, err := try("b", 3); err != nil {
			t.Fatalf("another address: %v", err)
		}
		r, err := try("c", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := try("c", 0); err != nil {
			t.Fatal(err)
		}
		r.Refund(t.Context()) // not made, nor counted twice: not a member either
		for i := 1; i <= 3; i++ {
			if _, err := try("c", i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		for i := 3; i < 6; i++ {
			if _, err := try("a", i); err != nil {
				t.Fatalf("an hour later: %v", err)
			}
		}
	})
}

// of any number of attempts at once no member passes on the mark of one that is refused.
func TestDistinctMembersAtOnce(t *testing.T) {
	crowded := newFakeShared()
	crowded.slow = time.Millisecond
	for where, shared := range map[string]*Shared{"in this process": nil, "in Redis": crowded.Shared} {
		l := newTest(t, shared, Config{})
		var mu sync.Mutex
		members, passed := map[string]bool{}, 0
		var group sync.WaitGroup
		for i := range 40 {
			for range 10 {
				group.Go(func() {
					c := limits(LoginSpray, 3, time.Hour).Charge(LoginSpray, "a")
					c.Member = fmt.Sprint("account ", i)
					if _, err := l.Reserve(context.Background(), c); err == nil {
						mu.Lock()
						defer mu.Unlock()
						passed++
						members[c.Member] = true
					}
				})
			}
		}
		group.Wait()
		if len(members) > 3 || passed == 0 {
			t.Errorf("%s: %d members passed a limit of 3, in %d attempts", where, len(members), passed)
		}
	}
}

// where there is no room for marks left, a limit on members grows stricter, not laxer.
func TestMembersWithoutRoom(t *testing.T) {
	l := newTest(t, nil, Config{MaxEntries: 1024})
	for i := range 1024 {
		mustReserve(t, l, Charge{Bucket: "flood", Key: fmt.Sprint(i), Rate: login})
	}
	members := 0
	for i := range 20_000 { // more than there are shared marks
		c := limits(LoginSpray, 10_000, time.Hour).Charge(LoginSpray, "a")
		c.Member = fmt.Sprint("account ", i)
		if _, err := l.Reserve(t.Context(), c); err == nil {
			members++
		}
	}
	if members > 10_000 {
		t.Errorf("%d members passed a limit of 10,000", members)
	}
}

// A crowd at once makes the first wait no longer than a minute.
func TestSpacingIsNotStretchedByACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crowded := newFakeShared()
		crowded.slow = time.Millisecond
		l := newTest(t, crowded.Shared, Config{})
		c := limits(LoginAccount, 3, 24*time.Hour).Charge(LoginAccount, "a")
		if n := storm(c, l); n != 3 {
			t.Fatalf("%d passed a limit of 3", n)
		}
		if after := mustReach(t, l, c); after > time.Minute {
			t.Fatalf("RetryAfter %v", after)
		}
		time.Sleep(time.Minute)
		if n := storm(c, l); n != 1 {
			t.Fatalf("%d passed after a minute", n)
		}
		if after := mustReach(t, l, c); after > 2*time.Minute {
			t.Fatalf("RetryAfter %v", after)
		}
	})
}

// What was given back takes no room: attempts that were not made fill nothing.
func TestCountersGivenBackAreForgotten(t *testing.T) {
	l := newTest(t, nil, Config{})
	for i := range 100 {
		mustReserve(t, l, Charge{Bucket: "login", Key: fmt.Sprint(i), Rate: login}).Refund(t.Context())
	}
	kept := mustReserve(t, l, Charge{Bucket: "login", Key: "kept", Rate: login})
	l.local.sweep()
	if n := stored(l); n != 1 || l.local.entries.Load() != 1 {
		t.Errorf("%d counters, %d by our count", n, l.local.entries.Load())
	}
	kept.Refund(t.Context())
}

// a refund that comes too late for its window asks nobody, and so learns nothing of
// counters that are away.
func TestLateRefundAsksNobody(t *testing.T) {
	shared := newFakeShared()
	l := newTest(t, shared.Shared, Config{})
	r := mustReserve(t, l, Charge{Bucket: "login", Key: "a", Rate: Rate{3, time.Second}})
	calls := shared.calls.Load()
	r.Refund(t.Context())
	if shared.calls.Load() != calls {
		t.Error("somebody was asked")
	}
}

// a part of a limit is the same counter.
func TestPart(t *testing.T) {
	l := newTest(t, nil, Config{})
	c := limits(LoginAddress, 20, time.Hour).Charge(LoginAddress, "a")
	for range 4 {
		mustReserve(t, l, c)
	}
	mustReserve(t, l, c.Part(4))
	mustReach(t, l, c.Part(4))
	mustReserve(t, l, c)
	mustReserve(t, l, limits(LoginAddress, 3, time.Hour).Charge(LoginAddress, "b").Part(4)) // never less than one
}

// one subscriber is one key, however many addresses there are to choose from.
func TestThousandAddresses(t *testing.T) {
	all := Limits{LoginAddress: {20, time.Hour}, LoginNetwork: {200, time.Hour}}
	attempts := func(format string) (passed int, refusedBy map[string]int) {
		l, refusedBy := newTest(t, nil, Config{}), map[string]int{}
		for i := range 1000 {
			a := netip.MustParseAddr(fmt.Sprintf(format, i))
			_, err := l.Reserve(context.Background(), all.Charge(LoginAddress, AddressKey(a)), all.Charge(LoginNetwork, NetworkKey(a)))
			var limit *Error
			if errors.As(err, &limit) {
				refusedBy[limit.Bucket]++
			} else {
				passed++
			}
		}
		return passed, refusedBy
	}
	if n, by := attempts("2001:db8:0:1::%x"); n != 20 || by[LoginAddress] != 980 {
		t.Errorf("1,000 addresses of one /64: %d attempts, %v", n, by)
	}
	if n, by := attempts("2001:db8:0:%x::1"); n != 200 || by[LoginNetwork] != 800 {
		t.Errorf("1,000 /64s of one /48: %d attempts, %v", n, by)
	}
	if n, _ := attempts("2001:db8:%x::1"); n != 1000 {
		t.Errorf("1,000 networks: %d attempts", n)
	}
}

// Who shares which counter: without Redis a database counts for accounts alone.
func TestPlaces(t *testing.T) {
	shared := newFakeShared()
	for _, tt := range []struct {
		bucket string
		shared *Shared
		want   bool
	}{
		{Requests, &Shared{all: true}, false},
		{RefreshSession, &Shared{all: true}, false},
		{LoginAddress, &Shared{all: true}, true},
		{LoginAccount, &Shared{all: true}, true},
		{LoginAddress, &Shared{}, false},
		{SignupAddress, &Shared{}, false},
		{LoginAccount, &Shared{}, true},
		{LoginStreak, &Shared{}, true},
		{LoginDevice, &Shared{}, true},
		{LoginSpray, &Shared{}, true},
	} {
		c := limits(tt.bucket, 5, time.Minute).Charge(tt.bucket, "a")
		if got := tt.shared.counts(c.policy.place); got != tt.want {
			t.Errorf("%s: %v", tt.bucket, got)
		}
	}
	l := newTest(t, shared.Shared, Config{})
	mustReserve(t, l, limits(Requests, 5, time.Minute).Charge(Requests, "a"))
	if shared.calls.Load() != 0 || stored(l) != 1 {
		t.Error("a request asked the shared counters")
	}
}

// ten thousand guesses at ten thousand accounts are noticed once, and end.
func TestSurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Surge
		fail := func(n int) (begun int) {
			for range n {
				if s.Failed() {
					begun++
				}
			}
			return begun
		}
		if fail(surgeFloor-1) != 0 || s.On() {
			t.Fatal("noise is no surge")
		}
		time.Sleep(surgeSlot)
		if n := fail(10_000); n != 1 || !s.On() {
			t.Fatalf("a surge began %d times", n)
		}
		time.Sleep(surgeSlot)
		if !s.On() {
			t.Fatal("it may go on")
		}
		time.Sleep(surgeSlot)
		if s.On() {
			t.Fatal("it is over")
		}
		if fail(10_000) != 1 {
			t.Fatal("the next one goes unnoticed: the last one counts as usual")
		}
	})
}

func TestSurgeKnowsWhatIsUsual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Surge
		for i := range int64(2 * 1008) { // two weeks in which ever more fails, slowly
			for range 100 + i/4 {
				if s.Failed() {
					t.Fatalf("slot %d: a busy service is no surge", i)
				}
			}
			time.Sleep(surgeSlot)
		}
		usual := s.sum / s.n
		if usual < 400 || usual > 500 || s.n != surgeSlots {
			t.Fatalf("usual: %d of %d slots", usual, s.n)
		}
		for range surgeFactor * 400 {
			if s.Failed() {
				t.Fatal("not yet")
			}
		}
		for range surgeFactor * 100 {
			s.Failed()
		}
		if !s.On() {
			t.Fatal("five times the usual is a surge")
		}
		time.Sleep(30 * 24 * time.Hour)
		if s.On() || s.Failed() || s.n > surgeSlots {
			t.Fatal("after a month nothing of it is left")
		}
	})
}
