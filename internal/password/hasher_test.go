package password

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

func newHasher(t testing.TB, cfg Config) *Hasher {
	t.Helper()
	if cfg.MemoryKiB == 0 {
		cfg.MemoryKiB, cfg.Time = DefaultMemoryKiB, DefaultTime
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// counted replaces the expensive function by one that takes a second of the
// bubble's time, and returns how often it ran and with how many at once.
func counted(h *Hasher) (calls, most *atomic.Int64, costs *sync.Map) {
	calls, most, costs = new(atomic.Int64), new(atomic.Int64), new(sync.Map)
	var running atomic.Int64
	h.derive = func(plain, salt []byte, p params, keyBytes uint32) []byte {
		calls.Add(1)
		costs.Store(p, true)
		now := running.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		time.Sleep(time.Second)
		running.Add(-1)
		return argon2.IDKey(plain, salt, 1, 8, 1, keyBytes)
	}
	return calls, most, costs
}

func TestNew(t *testing.T) {
	tests := map[string]struct {
		cfg Config
		ok  bool
	}{
		"the zero config is refused: costs are never guessed":    {Config{}, false},
		"19 MiB with two passes is the floor (R-08)":             {Config{MemoryKiB: 19456, Time: 2}, true},
		"46 MiB with one pass is the floor (R-08)":               {Config{MemoryKiB: 47104, Time: 1}, true},
		"12 MiB with three passes is the floor (R-08)":           {Config{MemoryKiB: 12288, Time: 3}, true},
		"more than a floor is above it":                          {Config{MemoryKiB: 65536, Time: 3}, true},
		"one KiB less than a floor is below it (R-08)":           {Config{MemoryKiB: 19455, Time: 2}, false},
		"46 MiB less a KiB needs two passes (R-08)":              {Config{MemoryKiB: 47103, Time: 1}, false},
		"passes never make up for less than 12 MiB (R-08)":       {Config{MemoryKiB: 12287, Time: 16}, false},
		"m=1024 is refused at start (R-08)":                      {Config{MemoryKiB: 1024, Time: 2}, false},
		"no pass is no hash":                                     {Config{MemoryKiB: 65536}, false},
		"what Verify would refuse must not be written (R-10)":    {Config{MemoryKiB: 262145, Time: 2}, false},
		"256 MiB and 16 passes are the most that is read (R-10)": {Config{MemoryKiB: 262144, Time: 16}, true},
		"17 passes would not be read again (R-10)":               {Config{MemoryKiB: 19456, Time: 17}, false},
		"a negative concurrency is a mistake":                    {Config{MemoryKiB: 19456, Time: 2, Concurrency: -1}, false},
		"a negative wait is a mistake":                           {Config{MemoryKiB: 19456, Time: 2, MaxWait: -1}, false},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			h, err := New(tt.cfg)
			if (err == nil) != tt.ok || (h != nil) != tt.ok {
				t.Fatalf("New(%+v) = %v, %v", tt.cfg, h, err)
			}
			if tt.ok && (cap(h.slots) < 1 || h.maxWait != DefaultMaxWait) {
				t.Fatalf("%d places, %v", cap(h.slots), h.maxWait)
			}
		})
	}
}

// with the real function.
func TestHashVerify(t *testing.T) {
	ctx := t.Context()
	h := newHasher(t, Config{})
	long := strings.Repeat("x", 255)
	stored, err := h.Hash(ctx, long+"e\u0301")
	if err != nil || !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(stored, err)
	}
	if other, err := h.Hash(ctx, long+"e\u0301"); err != nil || other == stored {
		t.Fatal("two users with one password must have different hashes (R-08)", err)
	}
	tests := map[string]struct {
		hasher *Hasher
		plain  string
		want   Match
	}{
		"the same letter typed as one code point opens (R-03)":  {h, long + "\u00e9", Match{OK: true}},
		"the last of 256 code points counts (R-02)":             {h, long + "x", Match{}},
		"a beginning of the password is not it":                 {h, long, Match{}},
		"the empty password never matches":                      {h, "", Match{}},
		"other current costs make the hash stale (R-09)":        {newHasher(t, Config{MemoryKiB: 12288, Time: 3}), long + "\u00e9", Match{OK: true, Stale: true}},
		"a wrong password is never stale: nothing to hash anew": {newHasher(t, Config{MemoryKiB: 12288, Time: 3}), long, Match{}},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			if got, err := tt.hasher.Verify(ctx, stored, tt.plain); err != nil || got != tt.want {
				t.Fatalf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// R-12 with the real function.
func TestVerifyBcrypt(t *testing.T) {
	ctx := t.Context()
	h := newHasher(t, Config{MemoryKiB: 12288, Time: 3})
	plain72 := strings.Repeat("k", 72)
	hash72, err := bcrypt.GenerateFromPassword([]byte(plain72), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	hashA, err := bcrypt.GenerateFromPassword([]byte("a"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if bcrypt.CompareHashAndPassword(hash72, []byte(plain72+"x")) != nil {
		t.Log("x/crypto no longer truncates: the guard is not needed any more")
	}
	tests := map[string]struct {
		stored, plain string
		want          Match
		err           error
	}{
		"an imported hash opens and is to be replaced (R-12)": {string(hash72), plain72, Match{OK: true, Stale: true}, nil},
		"2y is the same function (R-12)":                      {"$2y" + string(hash72[3:]), plain72, Match{OK: true, Stale: true}, nil},
		"72 bytes and one more are another password (R-12)":   {string(hash72), plain72 + "x", Match{}, nil},
		"71 bytes are another password":                       {string(hash72), plain72[1:], Match{}, nil},
		"the empty password never matches":                    {string(hash72), "", Match{}, nil},
		"a NUL must not repeat the password":                  {string(hashA), "a\x00a", Match{}, nil},
		"cost 31 is not computed (R-10)":                      {"$2a$31$" + string(hash72[7:]), plain72, Match{}, ErrUnusableHash},
		"a salt that is no base64 is unusable":                {"$2a$04$" + strings.Repeat("!", 53), plain72, Match{}, ErrUnusableHash},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			got, err := h.Verify(ctx, tt.stored, tt.plain)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Fatalf("%+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// exactly one hash, at the current costs wherever no match is possible.
func TestOneHashWhateverIsStored(t *testing.T) {
	good := "$argon2id$v=19$m=12288,t=3,p=1$" + salt16 + "$" + key32
	bcrypt10 := "$2a$10$" + strings.Repeat("a", 53)
	tests := map[string]struct {
		call func(context.Context, *Hasher) error
		err  error
	}{
		"no account": {func(ctx context.Context, h *Hasher) error { return h.Dummy(ctx, "wrong") }, nil},
		"no account, and an absurd password": {func(ctx context.Context, h *Hasher) error {
			return h.Dummy(ctx, strings.Repeat("x", 1<<20))
		}, nil},
		"an account without a password":             {verify("", "wrong"), ErrUnusableHash},
		"a hash over the bounds (R-10)":             {verify("$argon2id$v=19$m=4194304,t=2,p=1$"+salt16+"$"+key32, "wrong"), ErrUnusableHash},
		"a malformed hash":                          {verify("$argon2id$", "wrong"), ErrUnusableHash},
		"bcrypt over its cost (R-10)":               {verify("$2a$15$"+bcrypt10[7:], "wrong"), ErrUnusableHash},
		"bcrypt and more than 72 bytes (R-12)":      {verify(bcrypt10, strings.Repeat("x", 73)), nil},
		"bcrypt and 25 CJK characters (R-12)":       {verify(bcrypt10, strings.Repeat("語", 25)), nil},
		"a good hash and no password":               {verify(good, ""), nil},
		"a good hash and an absurd password (R-02)": {verify(good, strings.Repeat("x", 1025)), nil},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHasher(t, Config{})
				calls, _, costs := counted(h)
				h.bcrypt = func(_, _ []byte) error { t.Error("bcrypt was reached"); return nil }
				if err := tt.call(t.Context(), h); !errors.Is(err, tt.err) {
					t.Fatalf("%v, want %v", err, tt.err)
				}
				if _, current := costs.Load(h.current); calls.Load() != 1 || !current {
					t.Fatalf("%d hashes, at the current costs: %v", calls.Load(), current)
				}
			})
		})
	}
}

func verify(stored, plain string) func(context.Context, *Hasher) error {
	return func(ctx context.Context, h *Hasher) error {
		match, err := h.Verify(ctx, stored, plain)
		if match != (Match{}) {
			return errors.New("matched")
		}
		return err
	}
}

func TestHashRefuses(t *testing.T) {
	tests := map[string]struct {
		plain string
		code  Code
	}{
		"an empty password protects nothing":           {"", CodeTooShort},
		"an absurd length never reaches Argon2 (R-02)": {strings.Repeat("x", 257), CodeTooLong},
		"U+FFFD collapses passwords (R-04)":            {"qv7xk2m\ufffd", CodeInvalid},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			h := newHasher(t, Config{})
			h.derive = nil
			var refused *PolicyError
			if stored, err := h.Hash(t.Context(), tt.plain); stored != "" || !errors.As(err, &refused) || refused.Code != tt.code {
				t.Fatalf("%q, %v", stored, err)
			}
		})
	}
}

// 200 at once, never more than N in flight, and the rest is told within
// the wait.
func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(t, Config{Concurrency: 3, MaxWait: 10*time.Second - 1})
		calls, most, _ := counted(h)
		var served, refused atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 200 {
			wg.Go(func() {
				var err error
				if i%2 == 0 {
					err = h.Dummy(t.Context(), "wrong")
				} else {
					_, err = h.Verify(t.Context(), "", "wrong")
				}
				switch {
				case errors.Is(err, ErrOverloaded):
					refused.Add(1)
				case err == nil || errors.Is(err, ErrUnusableHash):
					served.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if len(h.slots) != 3 {
			t.Errorf("%d in flight, want 3", len(h.slots))
		}
		wg.Wait()
		if most.Load() != 3 || served.Load() != 30 || calls.Load() != 30 || refused.Load() != 170 {
			t.Errorf("most %d, served %d, hashed %d, refused %d", most.Load(), served.Load(), calls.Load(), refused.Load())
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("took %v", took)
		}
		if len(h.slots) != 0 {
			t.Errorf("%d places were never given back", len(h.slots))
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(t, Config{Concurrency: 1, MaxWait: time.Minute})
		calls, _, _ := counted(h)
		go func() { _ = h.Dummy(t.Context(), "first") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := h.Hash(ctx, "qv7xk2mw"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := h.Dummy(ctx, "late"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dead context must not start work in a free place: %v", err)
		}
		if calls.Load() != 1 {
			t.Errorf("%d hashes", calls.Load())
		}
	})
}

func TestPlaceIsGivenBackAfterPanic(t *testing.T) {
	h := newHasher(t, Config{Concurrency: 1})
	h.derive = func(_, _ []byte, _ params, _ uint32) []byte { panic("argon2") }
	func() {
		defer func() { _ = recover() }()
		_ = h.Dummy(t.Context(), "x")
	}()
	if len(h.slots) != 0 {
		t.Fatal("one panic would lower the limit for ever")
	}
}

func TestZeroHasherFailsClosed(t *testing.T) {
	if m, err := new(Hasher).Verify(t.Context(), "", "x"); !errors.Is(err, ErrOverloaded) || m.OK {
		t.Fatal(m, err)
	}
}

func TestEqual(t *testing.T) {
	if equal(nil, nil) || equal([]byte{}, nil) {
		t.Error("two empty keys are not equal: nothing was proved")
	}
	if !equal([]byte{1}, []byte{1}) || equal([]byte{1}, []byte{2}) {
		t.Error("equal is wrong")
	}
}

func TestPlaces(t *testing.T) {
	tests := map[string]struct {
		memoryKiB  uint32
		processors int
		available  uint64
		want       int
	}{
		"processors bound a machine with much memory (B12)": {19456, 8, 64 << 30, 8},
		"a quarter of the memory bounds a small one (B12)":  {19456, 8, 256 << 20, 3},
		"one at a time must always be possible":             {262144, 8, 64 << 20, 1},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			if got := places(tt.memoryKiB, tt.processors, tt.available); got != tt.want {
				t.Fatalf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestAvailableMemory(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	meminfo := file("MemFree:  1 kB\nMemTotal:       8388608 kB\nHugetlb: 0 kB\n")
	tests := map[string]struct {
		root fstest.MapFS
		want uint64
	}{
		"the machine is the limit outside a container":     {fstest.MapFS{"proc/meminfo": meminfo}, 8 << 30},
		"a container's limit is smaller (cgroup 2)":        {fstest.MapFS{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": file("536870912\n")}, 512 << 20},
		"a container without a limit says max (cgroup 2)":  {fstest.MapFS{"proc/meminfo": meminfo, "sys/fs/cgroup/memory.max": file("max\n")}, 8 << 30},
		"cgroup 1 says a huge number for no limit":         {fstest.MapFS{"proc/meminfo": meminfo, "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n")}, 8 << 30},
		"a system without these files gets a modest guess": {fstest.MapFS{}, unknownMemory},
		"what cannot be read is not believed":              {fstest.MapFS{"proc/meminfo": file("MemTotal: -1 kB\nMemTotal:\n")}, unknownMemory},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			if got := availableMemory(tt.root); got != min(tt.want, math.MaxInt64) {
				t.Fatalf("%d, want %d", got, tt.want)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	h := newHasher(b, Config{Concurrency: 1})
	stored, err := h.Hash(b.Context(), "correct horse battery")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if m, err := h.Verify(b.Context(), stored, "correct horse battery"); err != nil || !m.OK {
			b.Fatal(m, err)
		}
	}
}

func BenchmarkDummy(b *testing.B) {
	h := newHasher(b, Config{Concurrency: 1})
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Dummy(b.Context(), "correct horse battery"); err != nil {
			b.Fatal(err)
		}
	}
}
