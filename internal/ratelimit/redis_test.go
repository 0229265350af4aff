package ratelimit

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// openTestRedis returns a Redis on the server of LATCHKEY_TEST_REDIS_URL. Tests
// use keys of their own, so they may run beside each other.
func openTestRedis(t testing.TB, through string) *Shared {
	t.Helper()
	raw := os.Getenv("LATCHKEY_TEST_REDIS_URL")
	if raw == "" {
		t.Skip("LATCHKEY_TEST_REDIS_URL is not set")
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal("LATCHKEY_TEST_REDIS_URL is not a URL")
	}
	if through != "" {
		u.Host = through
	}
	// A busy machine must not look like a Redis that is away.
	return mustOpen(t, u.String(), time.Minute)
}

func mustOpen(t testing.TB, url string, timeout time.Duration) *Shared {
	t.Helper()
	r, err := openRedis(url, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.close() })
	return r
}

// rawRedis looks at the server behind the limiter's back.
func rawRedis(t testing.TB) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(os.Getenv("LATCHKEY_TEST_REDIS_URL"))
	if err != nil {
		t.Fatal("LATCHKEY_TEST_REDIS_URL is not a URL")
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// counterOf is the name of the counter of a plain charge.
func (l *Limiter) counterOf(c Charge) string {
	return l.name(c.Bucket, c.Key+"\x00"+strconv.Itoa(int(c.Rate.Period.Seconds())))
}

func newShared(t testing.TB, shared *Shared) *Limiter {
	t.Helper()
	l, err := New(testSecret, shared, Config{OnFallback: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// own returns a charge whose key no other run of the test has.
func own(t testing.TB, rate Rate) Charge {
	return Charge{Bucket: "test", Key: t.Name() + time.Now().String(), Rate: rate}
}

func TestOpenRedisRefuses(t *testing.T) {
	for reason, url := range map[string]string{
		"an address is no URL":        "localhost:6379",
		"another scheme is no Redis":  "http://canary@localhost",
		"a database is a number":      "redis://:canary@localhost/x",
		"a URL that cannot be parsed": "redis://:canary@local host\x00",
		"nothing is no server":        "",
	} {
		t.Run(reason, func(t *testing.T) {
			if r, err := OpenRedis(url); err == nil || r != nil || strings.Contains(err.Error(), "canary") {
				t.Fatalf("%v, %v", r, err)
			}
		})
	}
}

// two processes, one limit.
func TestRedisIsSharedAndAtomic(t *testing.T) {
	l1, l2 := newShared(t, openTestRedis(t, "")), newShared(t, openTestRedis(t, ""))
	c := own(t, Rate{10, time.Minute})
	if n := storm(c, l1, l2); n != 10 {
		t.Fatalf("%d of 1000 passed a limit of 10", n)
	}
	if after := mustReach(t, l2, c); after < 50*time.Second || after > time.Minute {
		t.Fatalf("RetryAfter %v", after)
	}
	if stored(l1)+stored(l2) != 0 {
		t.Fatal("something was counted in the process")
	}
}

// R-32, with the store where a decrement could open a window.
func TestRedisRefund(t *testing.T) {
	l, ctx := newShared(t, openTestRedis(t, "")), t.Context()
	c := own(t, Rate{2, time.Minute})
	key := redisPrefix + ":" + l.counterOf(c)

	r := mustReserve(t, l, c)
	mustReserve(t, l, c)
	if err := rawRedis(t).PExpire(ctx, key, 30*time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	r.Refund(ctx)
	r.Refund(ctx)
	if left := rawRedis(t).PTTL(ctx, key).Val(); left > 30*time.Second || left < 20*time.Second {
		t.Errorf("the refund made the window %v long", left)
	}
	late := mustReserve(t, l, c)
	mustReach(t, l, c)

	if err := rawRedis(t).Del(ctx, key).Err(); err != nil {
		t.Fatal(err)
	}
	late.Refund(ctx) // the key is gone: it must not come back below zero
	if n, err := rawRedis(t).Get(ctx, key).Int64(); err != nil || n != 0 {
		t.Errorf("%d, %v after the refund of a lost unit", n, err)
	}
	mustReserve(t, l, c)
	mustReserve(t, l, c)
	mustReach(t, l, c)
}

func TestRedisRefundKeepsAwayFromTheEnd(t *testing.T) {
	l := newShared(t, openTestRedis(t, ""))
	c := own(t, Rate{1, time.Second})
	mustReserve(t, l, c).Refund(t.Context())
	if n, err := rawRedis(t).Get(t.Context(), redisPrefix+":"+l.counterOf(c)).Int64(); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
}

// A restart of Redis forgets the scripts.
func TestRedisLoadsItsScriptsAgain(t *testing.T) {
	l := newShared(t, openTestRedis(t, ""))
	c := own(t, Rate{2, time.Minute})
	mustReserve(t, l, c)
	if err := rawRedis(t).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	mustReserve(t, l, c)
	mustReach(t, l, c)
}

//
func TestRedisKeysAreNotReadable(t *testing.T) {
	l := newShared(t, openTestRedis(t, ""))
	mustReserve(t, l, Charge{Bucket: "test", Key: "canary@example.com", Rate: Rate{1000000, time.Minute}})
	keys, err := rawRedis(t).Keys(t.Context(), "*").Result()
	if err != nil || len(keys) == 0 || strings.Contains(strings.Join(keys, " "), "canary") {
		t.Fatal(keys, err)
	}
}

// A client that hangs up is not a Redis that is away.
func TestRedisIgnoresTheClientsContext(t *testing.T) {
	l := newShared(t, openTestRedis(t, ""))
	c := own(t, Rate{1, time.Minute})
	r := mustReserve(t, l, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Refund(ctx)
	mustReserve(t, l, c)
	if l.retryAt.Load() != 0 {
		t.Fatal("Redis is thought to be away")
	}
}

// Redis dies in the middle of a run.
func TestRedisDiesMidRun(t *testing.T) {
	if os.Getenv("LATCHKEY_TEST_REDIS_URL") == "" {
		t.Skip("LATCHKEY_TEST_REDIS_URL is not set")
	}
	target, _ := url.Parse(os.Getenv("LATCHKEY_TEST_REDIS_URL"))
	address, cut := proxy(t, target.Host)
	var away []error
	l, err := New(testSecret, openTestRedis(t, address), Config{OnFallback: func(err error) { away = append(away, err) }})
	if err != nil {
		t.Fatal(err)
	}
	c := own(t, login)
	r := mustReserve(t, l, c)
	if len(away) != 0 {
		t.Fatal(away)
	}
	cut()
	for range 3 {
		mustReserve(t, l, c)
	}
	mustReach(t, l, c)
	r.Refund(t.Context())
	mustReach(t, l, c)
	if len(away) != 1 {
		t.Fatalf("reported %d times: %v", len(away), away)
	}
}

// proxy forwards a loopback port to the target until it is cut.
func proxy(t *testing.T, target string) (address string, cut func()) {
	listener := listen(t)
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			go func() { _, _ = io.Copy(in, out) }()
			go func() { _, _ = io.Copy(out, in) }()
		}
	}()
	return listener.Addr().String(), func() {
		_ = listener.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// limits hold from the first charge, and the wait is bounded and paid once.
func TestRedisThatIsAwayFromTheStart(t *testing.T) {
	refusing := listen(t)
	_ = refusing.Close()
	hung := listen(t)
	for reason, address := range map[string]string{
		"a port nobody listens on":               refusing.Addr().String(),
		"a server that accepts and never speaks": hung.Addr().String(),
	} {
		t.Run(reason, func(t *testing.T) {
			var away []error
			l, err := New(testSecret, mustOpen(t, "redis://:canary@"+address, redisTimeout), Config{OnFallback: func(err error) { away = append(away, err) }})
			if err != nil {
				t.Fatal(err)
			}
			c := own(t, login)
			start := time.Now()
			for range 3 {
				mustReserve(t, l, c)
			}
			mustReach(t, l, c)
			took := time.Since(start)
			t.Logf("four charges took %v: %v", took, away)
			if took > 10*redisTimeout {
				t.Errorf("four charges took %v", took)
			}
			if len(away) != 1 || strings.Contains(away[0].Error(), "canary") {
				t.Errorf("reports: %v", away)
			}
		})
	}
}

func TestRedisClosed(t *testing.T) {
	l, err := New(testSecret, mustOpen(t, "redis://127.0.0.1:1", redisTimeout), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustReserve(t, l, Charge{Bucket: "test", Key: "a", Rate: Rate{1, time.Minute}})
	var limit *Error
	if _, err := l.Reserve(t.Context(), Charge{Bucket: "test", Key: "a", Rate: Rate{1, time.Minute}}); !errors.As(err, &limit) {
		t.Fatal(err)
	}
}

func BenchmarkReserveRedis(b *testing.B) {
	l := newShared(b, openTestRedis(b, ""))
	c := own(b, Rate{maxLimit, time.Hour})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Reserve(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRedisRefusedUnitsAreGivenBack(t *testing.T) {
	givenBack(t, newShared(t, openTestRedis(t, "")))
}
