package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ululememory "github.com/ulule/limiter/v3/drivers/store/memory"
)

var (
	testSecret = []byte("0123456789abcdef0123456789abcdef")
	login      = Rate{3, time.Minute}
)

func newTest(t testing.TB, shared *Shared, cfg Config) *Limiter {
	t.Helper()
	l, err := newLimiter(testSecret, cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.shared = shared
	return l
}

func mustReserve(t testing.TB, l *Limiter, charges ...Charge) *Reservation {
	t.Helper()
	r, err := l.Reserve(context.Background(), charges...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mustReach demands that the limit is reached and returns RetryAfter.
func mustReach(t testing.TB, l *Limiter, charges ...Charge) time.Duration {
	t.Helper()
	r, err := l.Reserve(context.Background(), charges...)
	var limit *Error
	if r != nil || !errors.As(err, &limit) {
		t.Fatalf("%v, %v; want *Error", r, err)
	}
	return limit.RetryAfter
}

func TestNew(t *testing.T) {
	tests := map[string]struct {
		secret []byte
		cfg    Config
		ok     bool
	}{
		"the zero config has sensible values":      {testSecret, Config{}, true},
		"without a secret keys could be looked up": {nil, Config{}, false},
		"31 bytes are too few":                     {testSecret[:31], Config{}, false},
		"too few counters would share everything":  {testSecret, Config{MaxEntries: 1023}, false},
		"negative counters are a mistake":          {testSecret, Config{MaxEntries: -1}, false},
		"negative replicas are a mistake":          {testSecret, Config{Replicas: -1}, false},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			if l, err := New(tt.secret, nil, tt.cfg); (err == nil) != tt.ok || (l != nil) != tt.ok {
				t.Fatalf("%v, %v", l, err)
			}
		})
	}
}

func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, nil, Config{})
		a := Charge{Bucket: "login.ip", Key: "a", Rate: login}
		for range 3 {
			mustReserve(t, l, a)
		}
		if after := mustReach(t, l, a); after != time.Minute {
			t.Errorf("RetryAfter %v at the start of the window", after)
		}
		mustReserve(t, l, Charge{Bucket: "login.ip", Key: "b", Rate: login})
		mustReserve(t, l, Charge{Bucket: "signup.ip", Key: "a", Rate: login})
		mustReserve(t, l, Charge{Bucket: "login.ip", Key: "a", Rate: Rate{3, time.Hour}})
		time.Sleep(20*time.Second + time.Millisecond)
		after := mustReach(t, l, a)
		if after != 40*time.Second {
			t.Errorf("RetryAfter %v, want the rest rounded up", after)
		}
		time.Sleep(after - time.Millisecond - 1)
		mustReach(t, l, a)
		time.Sleep(time.Nanosecond)
		mustReserve(t, l, a) // who waits as told gets in, though others were refused meanwhile
	})
}

func TestErrorTellsOnlyTheLog(t *testing.T) {
	l := newTest(t, nil, Config{})
	c := Charge{Bucket: "login.account", Key: "canary@example.com", Rate: Rate{1, time.Minute}}
	mustReserve(t, l, c)
	_, err := l.Reserve(t.Context(), c)
	var limit *Error
	if !errors.As(err, &limit) || limit.Bucket != "login.account" || limit.Error() != "ratelimit: limit reached" {
		t.Fatalf("%#v", err)
	}
}

func TestReserveStopsAtTheFirstLimit(t *testing.T) {
	l := newTest(t, nil, Config{})
	address, account := Charge{Bucket: "login.ip", Key: "a", Rate: Rate{2, time.Minute}}, Charge{Bucket: "login.account", Key: "a", Rate: Rate{9, time.Minute}}
	for range 2 {
		mustReserve(t, l, address, account)
	}
	for range 20 {
		mustReach(t, l, address, account)
	}
	for range 7 {
		mustReserve(t, l, account) // the refused ones never reached the account
	}
	mustReach(t, l, account)
}

func TestReserveRefusesMistakes(t *testing.T) {
	good := Charge{Bucket: "login.ip", Key: "a", Rate: login}
	tests := map[string][]Charge{
		"no charge would be no limit":            {},
		"the zero charge is no limit":            {{}},
		"a charge without a bucket":              {{Bucket: "", Key: "a", Rate: login}},
		"a charge without a key":                 {{Bucket: "login", Key: "", Rate: login}},
		"the zero rate is no limit":              {{Bucket: "login", Key: "a", Rate: Rate{}}},
		"a rate of nothing":                      {{Bucket: "login", Key: "a", Rate: Rate{0, time.Minute}}},
		"a rate for ever":                        {{Bucket: "login", Key: "a", Rate: Rate{1, time.Hour * 1e6}}},
		"a bucket that could forge another name": {{Bucket: "login:x", Key: "a", Rate: login}},
		"a bucket with a NUL":                    {{Bucket: "login\x00", Key: "a", Rate: login}},
		"a bucket without end":                   {{Bucket: strings.Repeat("a", 41), Key: "a", Rate: login}},
		"the second of two":                      {good, {}},
	}
	for reason, charges := range tests {
		t.Run(reason, func(t *testing.T) {
			l := newTest(t, nil, Config{})
			if r, err := l.Reserve(t.Context(), charges...); r != nil || !errors.Is(err, ErrInvalidCharge) {
				t.Fatalf("%v, %v", r, err)
			}
			if n := l.local.entries.Load(); n != 0 {
				t.Fatalf("%d counters were charged", n)
			}
		})
	}
}

func TestReserveAfterTheContext(t *testing.T) {
	l := newTest(t, nil, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Reserve(ctx, Charge{Bucket: "login", Key: "a", Rate: login}); !errors.Is(err, context.Canceled) || l.local.entries.Load() != 0 {
		t.Fatal(err)
	}
}

// however many at once, the limit is the limit.
func TestReserveIsAtomic(t *testing.T) {
	l := newTest(t, nil, Config{})
	if n := storm(Charge{Bucket: "login", Key: "a", Rate: Rate{10, time.Minute}}, l); n != 10 {
		t.Fatalf("%d of 1000 passed a limit of 10", n)
	}
}

// storm sends 1,000 charges from 100 goroutines, spread over the limiters, and
// returns how many passed.
func storm(c Charge, limiters ...*Limiter) int64 {
	var passed atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for range 10 {
				if _, err := limiters[i%len(limiters)].Reserve(context.Background(), c); err == nil {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return passed.Load()
}

// a success gives back its own unit and nothing else.
func TestRefund(t *testing.T) {
	l := newTest(t, nil, Config{})
	c := Charge{Bucket: "login", Key: "a", Rate: login}
	mustReserve(t, l, c)
	mustReserve(t, l, c)
	r := mustReserve(t, l, c)
	r.Refund(t.Context())
	r.Refund(t.Context())
	(*Reservation)(nil).Refund(t.Context())
	mustReserve(t, l, c)
	mustReach(t, l, c)
}

// A whole office that logs in at the same moment with right passwords is let in again as soon
// as the first ones are through.
func TestRefusedUnitsAreGivenBack(t *testing.T) {
	givenBack(t, newTest(t, nil, Config{}))
}

func givenBack(t *testing.T, l *Limiter) {
	t.Helper()
	c := own(t, login)
	var admitted []*Reservation
	for range login.Limit {
		admitted = append(admitted, mustReserve(t, l, c))
	}
	for range 20 {
		mustReach(t, l, c)
	}
	for _, r := range admitted {
		r.Refund(t.Context())
	}
	for range login.Limit {
		mustReserve(t, l, c)
	}
	mustReach(t, l, c)
}

func TestRefundOutlivesTheContext(t *testing.T) {
	l := newTest(t, nil, Config{})
	c := Charge{Bucket: "login", Key: "a", Rate: Rate{1, time.Minute}}
	r := mustReserve(t, l, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Refund(ctx)
	mustReserve(t, l, c)
}

func TestRefundAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, nil, Config{})
		c := Charge{Bucket: "login", Key: "a", Rate: Rate{2, time.Minute}}
		first, second := mustReserve(t, l, c), mustReserve(t, l, c)
		time.Sleep(time.Minute)
		first.Refund(t.Context()) // must not open a window with a unit too many
		mustReserve(t, l, c)
		second.Refund(t.Context()) // must not give back what the new window counts
		mustReserve(t, l, c)
		mustReach(t, l, c)
	})
}

func TestRefundDoesNotProlongTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, nil, Config{})
		c := Charge{Bucket: "login", Key: "a", Rate: Rate{1, time.Minute}}
		r := mustReserve(t, l, c)
		time.Sleep(50 * time.Second)
		r.Refund(t.Context())
		mustReserve(t, l, c)
		if after := mustReach(t, l, c); after != 10*time.Second {
			t.Fatalf("RetryAfter %v", after)
		}
	})
}

// a flood grows neither the memory nor anybody's limit.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, nil, Config{MaxEntries: 1024})
		known := Charge{Bucket: "login", Key: "known", Rate: login}
		mustReserve(t, l, known)
		refused := 0
		for i := range 30_000 {
			if _, err := l.Reserve(t.Context(), Charge{Bucket: "login", Key: fmt.Sprint(i), Rate: login}); err != nil {
				refused++
			}
		}
		if n := stored(l); n > 1024+4096 || n != l.local.entries.Load() {
			t.Errorf("%d counters, %d by our count", n, l.local.entries.Load())
		}
		if refused == 0 {
			t.Error("without room a limit must grow stricter")
		}
		mustReserve(t, l, known)
		mustReserve(t, l, known)
		mustReach(t, l, known) // an old name keeps its own counter
		time.Sleep(time.Minute)
		mustReserve(t, l, Charge{Bucket: "login", Key: "late", Rate: login})
		synctest.Wait()
		if n := stored(l); n > 1 || n != l.local.entries.Load() {
			t.Errorf("%d counters after the sweep, %d by our count", n, l.local.entries.Load())
		}
		mustReserve(t, l, Charge{Bucket: "login", Key: "room again", Rate: login})
	})
}

func stored(l *Limiter) (n int64) {
	l.local.cache.Range(func(string, *ululememory.Counter) { n++ })
	return n
}

// no plain text in a key.
func TestKeysAreNotReadable(t *testing.T) {
	l := newTest(t, nil, Config{})
	other, err := New([]byte("another secret of thirty-two byte"), nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := Charge{Bucket: "login.account", Key: "canary@example.com", Rate: login}
	mustReserve(t, l, c)
	l.local.cache.Range(func(key string, _ *ululememory.Counter) {
		if strings.Contains(key, "canary") || len(key) != len("login.account:")+22 || !strings.HasPrefix(key, "login.account:") {
			t.Errorf("key %q", key)
		}
	})
	if l.name(c.Bucket, c.Key) == other.name(c.Bucket, c.Key) {
		t.Error("the name does not depend on the secret")
	}
	if l.name("a", "b") == l.name("ab", "") {
		t.Error("bucket and key run into each other")
	}
}

func TestSweepLosesNoCharge(t *testing.T) {
	m := newMemory(1024)
	var wg sync.WaitGroup
	var passed atomic.Int64
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				if m.charge("a:bcd", Rate{1000, time.Hour}).count <= 1000 {
					passed.Add(1)
				}
			}
		})
		wg.Go(func() {
			for range 200 {
				m.sweep()
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1000 {
		t.Fatalf("%d passed a limit of 1000", passed.Load())
	}
}

// fakeShared stands for Redis or a database.
type fakeShared struct {
	*Shared
	calls atomic.Int64

	mu      sync.Mutex
	err     error
	slow    time.Duration // for each call: a crowd is in the middle of its charges at once
	windows map[string]*window
}

type window struct {
	count int64
	ends  time.Time
}

func newFakeShared() *fakeShared {
	f := &fakeShared{windows: map[string]*window{}}
	f.Shared = &Shared{all: true, timeout: time.Minute, add: f.add}
	return f
}

func (f *fakeShared) add(_ context.Context, key string, n int64, period time.Duration) (int64, time.Time, error) {
	f.calls.Add(1)
	defer time.Sleep(f.slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, time.Time{}, f.err
	}
	w := f.windows[key]
	if w == nil || !time.Now().Before(w.ends) {
		w = &window{ends: time.Now().Add(period)}
		f.windows[key] = w
	}
	w.count += n
	return w.count, w.ends, nil
}

// Redis away is neither an error nor a world without limits.
func TestFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("connection refused")
		shared := newFakeShared()
		var reports []error
		l := newTest(t, shared.Shared, Config{OnFallback: func(err error) { reports = append(reports, err) }})
		c := Charge{Bucket: "login", Key: "a", Rate: login}

		mustReserve(t, l, c)
		if stored(l) != 0 {
			t.Error("with Redis nothing is counted here")
		}
		early := mustReserve(t, l, c)

		shared.err = away
		for range 3 {
			mustReserve(t, l, c)
		}
		mustReach(t, l, c)
		early.Refund(t.Context())
		mustReach(t, l, c) // its unit is in Redis and must not be given back here
		if n := shared.calls.Load(); n != 3 {
			t.Errorf("Redis was asked %d times, want 3: one failure holds for a second", n)
		}
		time.Sleep(circuitPause)
		mustReach(t, l, c)
		mustReach(t, l, c)
		if n := shared.calls.Load(); n != 4 {
			t.Errorf("Redis was asked %d times, want 4: one try a second", n)
		}
		if len(reports) != 1 || !errors.Is(reports[0], away) {
			t.Errorf("reports: %v", reports)
		}
		time.Sleep(reportPause)
		mustReserve(t, l, Charge{Bucket: "login", Key: "b", Rate: login})
		if len(reports) != 2 {
			t.Errorf("%d reports after 11 s, want 2", len(reports))
		}

		shared.err = nil
		time.Sleep(circuitPause)
		mustReserve(t, l, c)
		mustReach(t, l, c) // Redis kept its two units
	})
}

func TestFallbackSharesTheLimit(t *testing.T) {
	shared := newFakeShared()
	shared.err = errors.New("away")
	l := newTest(t, shared.Shared, Config{Replicas: 3})
	ten := Charge{Bucket: "login", Key: "a", Rate: Rate{10, time.Minute}}
	for range 3 {
		mustReserve(t, l, ten)
	}
	mustReach(t, l, ten)
	mustReserve(t, l, Charge{Bucket: "login", Key: "b", Rate: Rate{2, time.Minute}}) // never less than one
}

func BenchmarkReserve(b *testing.B) {
	l := newTest(b, nil, Config{})
	c := Charge{Bucket: "login.account", Key: "ada@example.com", Rate: Rate{maxLimit, time.Hour}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Reserve(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReserveNewKeys(b *testing.B) {
	l := newTest(b, nil, Config{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = l.Reserve(b.Context(), Charge{Bucket: "login.account", Key: fmt.Sprint(i), Rate: login})
	}
}
