package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

var (
	// ErrOverloaded says that no hash could be started within Config.MaxWait.
	// Nothing was computed; the client may try again.
	ErrOverloaded = errors.New("password: overloaded")
	// ErrUnusableHash says that the stored hash is empty, malformed or outside
	// the bounds of R-10. The work of a refusal was spent: answer as to a wrong
	// password, and log it unless the account has no password.
	ErrUnusableHash = errors.New("password: unusable stored hash")
)

// The costs to use where nothing is configured: the smallest memory with two
// passes that R-08 allows.
const (
	DefaultMemoryKiB = 19456
	DefaultTime      = 2
	DefaultMaxWait   = 2 * time.Second
)

// Config is the cost of one hash and how many are computed at a time. The zero
// Config is refused: costs are never guessed.
type Config struct {
	MemoryKiB   uint32        // Argon2id m, in KiB
	Time        uint32        // Argon2id t, passes over the memory
	Concurrency int           // hashes at a time; 0: as many as processors, within a quarter of the memory
	MaxWait     time.Duration // for a free place; 0: DefaultMaxWait
}

// Match is the answer of Verify.
type Match struct {
	OK    bool // the password is the stored one
	Stale bool // OK, and the stored hash should be replaced by a new one
}

// Hasher makes and checks password hashes, a bounded number at a time. It is
// safe for concurrent use. The zero Hasher refuses everything with
// ErrOverloaded.
type Hasher struct {
	current params
	slots   chan struct{}
	maxWait time.Duration
	blank   argon2Hash // what a dummy is compared with

	// The two expensive functions, replaced in tests.
	derive func(plain, salt []byte, p params, keyBytes uint32) []byte
	bcrypt func(stored, plain []byte) error
}

// New returns a Hasher, or an error if the costs are below the floor of R-08 or
// above what Verify would accept, or if another field is negative.
func New(cfg Config) (*Hasher, error) {
	if !strongEnough(cfg.MemoryKiB, cfg.Time) {
		return nil, fmt.Errorf("password: Argon2id m=%d KiB, t=%d is below the floor: m=47104 with t=1, m=19456 with t=2 or m=12288 with t=3",
			cfg.MemoryKiB, cfg.Time)
	}
	if cfg.MemoryKiB > maxMemoryKiB || cfg.Time > maxTime {
		return nil, fmt.Errorf("password: Argon2id m=%d KiB, t=%d is above the limit: m=%d, t=%d",
			cfg.MemoryKiB, cfg.Time, maxMemoryKiB, maxTime)
	}
	if cfg.Concurrency < 0 || cfg.MaxWait < 0 {
		return nil, errors.New("password: Concurrency and MaxWait must not be negative")
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = places(cfg.MemoryKiB, runtime.GOMAXPROCS(0), availableMemory(os.DirFS("/")))
	}
	if cfg.MaxWait == 0 {
		cfg.MaxWait = DefaultMaxWait
	}
	h := &Hasher{
		current: params{cfg.MemoryKiB, cfg.Time, threads},
		slots:   make(chan struct{}, cfg.Concurrency),
		maxWait: cfg.MaxWait,
		blank:   argon2Hash{salt: make([]byte, saltBytes), key: make([]byte, keyBytes)},
		derive: func(plain, salt []byte, p params, keyBytes uint32) []byte {
			return argon2.IDKey(plain, salt, p.time, p.memoryKiB, p.threads, keyBytes)
		},
		bcrypt: bcrypt.CompareHashAndPassword,
	}
	rand.Read(h.blank.salt)
	rand.Read(h.blank.key)
	return h, nil
}

// strongEnough is the floor of R-08 (ASVS 5.0.0 Appendix C): more of one cost
// never makes up for less of both.
func strongEnough(memoryKiB, time uint32) bool {
	return memoryKiB >= 47104 && time >= 1 ||
		memoryKiB >= 19456 && time >= 2 ||
		memoryKiB >= 12288 && time >= 3
}

// Hash returns a new PHC string, Argon2id at the current costs under a fresh
// 16-byte salt. It returns a *PolicyError for a password that no policy can
// allow, ErrOverloaded, or the context's error while it waits.
func (h *Hasher) Hash(ctx context.Context, plain string) (phc string, err error) {
	if err := refuse(plain); err != nil {
		return "", err
	}
	release, err := h.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	hash := argon2Hash{params: h.current, salt: make([]byte, saltBytes)}
	rand.Read(hash.salt)
	hash.key = h.derive([]byte(Normalize(plain)), hash.salt, h.current, keyBytes)
	return hash.String(), nil
}

// Verify reports whether plain is the password of the stored hash: a PHC string
// of Argon2id, or a bcrypt hash ($2a$, $2b$, $2y$) that was imported. It
// computes exactly one hash whatever it is given; where the password
// cannot match, that is one at the current costs. An empty or overlong password
// never matches.
//
// A stored hash costs what its own parameters say: until the stale ones are
// replaced, an imported account can be told from others by the time.
//
// The errors are ErrUnusableHash, ErrOverloaded, or the context's error while it
// waits; with every error Match is zero.
func (h *Hasher) Verify(ctx context.Context, stored, plain string) (Match, error) {
	release, err := h.acquire(ctx)
	if err != nil {
		return Match{}, err
	}
	defer release()
	if isBcrypt(stored) {
		return h.verifyBcrypt(stored, plain)
	}
	hash, err := parseArgon2(stored)
	if err != nil || plain == "" || TooLong(plain) {
		h.spend(plain)
		return Match{}, err
	}
	key := h.derive([]byte(Normalize(plain)), hash.salt, hash.params, uint32(len(hash.key)))
	if !equal(key, hash.key) {
		return Match{}, nil
	}
	stale := hash.params != h.current || len(hash.salt) != saltBytes || len(hash.key) != keyBytes
	return Match{OK: true, Stale: stale}, nil
}

func (h *Hasher) verifyBcrypt(stored, plain string) (Match, error) {
	err := checkBcrypt(stored)
	if err != nil || plain == "" || TooLong(plain) {
		h.spend(plain)
		return Match{}, err
	}
	normal := Normalize(plain)
	// bcrypt repeats the password and its NUL to fill the key: "a" equals
	// "a\x00a".
	if len(normal) > maxBcryptPlain || strings.ContainsRune(normal, 0) {
		h.spend(plain)
		return Match{}, nil
	}
	switch err := h.bcrypt([]byte(stored), []byte(normal)); {
	case err == nil:
		return Match{OK: true, Stale: true}, nil
	case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		return Match{}, nil
	default:
		h.spend(plain)
		return Match{}, ErrUnusableHash
	}
}

// Dummy spends what one Verify spends on a hash at the current costs: call it
// where there is no account, so that the time of the answer does not tell
// . The errors are ErrOverloaded, or the context's error while it waits.
func (h *Hasher) Dummy(ctx context.Context, plain string) error {
	release, err := h.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	h.spend(plain)
	return nil
}

func (h *Hasher) spend(plain string) {
	if TooLong(plain) {
		plain = ""
	}
	key := h.derive([]byte(Normalize(plain)), h.blank.salt, h.current, keyBytes)
	equal(key, h.blank.key)
}

// equal takes the same time wherever the two differ, and is false on empty.
func equal(a, b []byte) bool {
	return len(a) > 0 && subtle.ConstantTimeCompare(a, b) == 1
}

// acquire takes a place among the running hashes and returns the function that
// gives it back. Waiting callers are served in the order in which they came.
func (h *Hasher) acquire(ctx context.Context) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("password: before hashing: %w", context.Cause(ctx))
	}
	release = func() { <-h.slots }
	select {
	case h.slots <- struct{}{}:
		return release, nil
	default:
	}
	timer := time.NewTimer(h.maxWait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return release, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("password: waiting to hash: %w", context.Cause(ctx))
	case <-timer.C:
		return nil, ErrOverloaded
	}
}
