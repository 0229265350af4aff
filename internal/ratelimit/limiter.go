// Package ratelimit bounds how often something may be tried.
package ratelimit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ErrInvalidCharge says that Reserve was called without a charge, or with one
// whose bucket, key or rate is missing or out of range. It is a mistake in the
// program, and nothing was charged.
var ErrInvalidCharge = errors.New("ratelimit: invalid charge")

const (
	minSecretBytes  = 32
	keyBytes        = 16
	maxBucketBytes  = 40
	circuitPause    = time.Second
	reportPause     = 10 * time.Second
	cleanupInterval = 10 * time.Minute
	bucketAlphabet  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	defaultEntries  = 1 << 18
	smallestEntries = 1 << 10
)

// Charge is one unit of one limit.
type Charge struct {
	Bucket string // what is limited: letters, digits and ". _ -", at most 40
	Key    string // whose: an AddressKey, a normalised email, a session id
	Rate   Rate
	// Member, if there is one, is what a bucket of distinct things counts: the same member
	// costs nothing more while it is remembered, which is for one period.
	Member string

	policy Policy
}

// Part is the charge at 1/n of its limit, and at least 1.
func (c Charge) Part(n int64) Charge {
	c.Rate.Limit = max(c.Rate.Limit/n, min(c.Rate.Limit, 1))
	return c
}

// Config holds what has a sensible zero.
type Config struct {
	MaxEntries int         // counters kept in this process; 0: 262,144; at least 1,024
	Replicas   int         // processes that count together: while they cannot, each allows 1/Replicas of a limit; 0: 1
	OnFallback func(error) // told at most every 10 s that the shared counters are away; nil: nobody
}

// Limiter counts charges. It is safe for concurrent use. Every counter is named
// by its bucket and an HMAC of the key: no dump shows an email or an address
//
//
// Charges are counted in fixed windows, as ulule/limiter does, opened by the first
// charge of a key: around the end of a window up to twice the limit can pass.
// A refused charge is given back, and never makes a window longer.
type Limiter struct {
	secret  []byte
	local   *memory
	shared  *Shared // nil: this process alone
	cfg     Config
	started time.Time
	retryAt atomic.Int64 // when the shared counters may be asked again, in ns since started; 0: now
	reports atomic.Int64 // when OnFallback may be told again, in ns since started
}

// tally is a counter just after a charge.
type tally struct {
	key    string
	rate   Rate
	count  int64
	ends   time.Time // when the window is certainly over
	shared bool      // counted by Limiter.shared
	policy Policy
}

// New returns a Limiter that names its counters by the secret, of at least 32
// bytes; replicas must have the same. Without shared counters (nil) limits hold
// in this process only. New talks to nobody: counters that are away are noticed
// at the first charge.
func New(secret []byte, shared *Shared, cfg Config) (*Limiter, error) {
	l, err := newLimiter(secret, cfg)
	if err == nil {
		l.shared = shared
	}
	return l, err
}

func newLimiter(secret []byte, cfg Config) (*Limiter, error) {
	if len(secret) < minSecretBytes {
		return nil, fmt.Errorf("ratelimit: the secret has %d bytes, fewer than %d", len(secret), minSecretBytes)
	}
	if cfg.MaxEntries == 0 {
		cfg.MaxEntries = defaultEntries
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	if cfg.MaxEntries < smallestEntries || cfg.Replicas < 1 {
		return nil, fmt.Errorf("ratelimit: MaxEntries %d is less than %d or Replicas %d is less than 1",
			cfg.MaxEntries, smallestEntries, cfg.Replicas)
	}
	return &Limiter{
		secret:  append([]byte(nil), secret...),
		local:   newMemory(cfg.MaxEntries),
		cfg:     cfg,
		started: time.Now(),
	}, nil
}

// Run deletes shared counters that are over, where they do not end by themselves, until ctx ends.
func (l *Limiter) Run(ctx context.Context, log *slog.Logger) {
	if l.shared == nil || l.shared.cleanUp == nil {
		return
	}
	tick := time.NewTicker(cleanupInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			round, cancel := context.WithTimeout(ctx, cleanupInterval)
			if err := l.shared.cleanUp(round); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "rate limits that are over could not be deleted", "error", err)
			}
			cancel()
		}
	}
}

// Close closes the connections to Redis, if there are any. Charges afterwards are counted in the
// process.
func (l *Limiter) Close() error {
	if l.shared == nil {
		return nil
	}
	return l.shared.close()
}

// Reservation is what one Reserve charged.
type Reservation struct {
	limiter *Limiter
	taken   []tally
	done    atomic.Bool
}

// Reserve charges one unit of each limit, before the work: each charge is
// atomic, also between replicas, and of any number of calls at once no more than
// the limit succeed. It stops at the first limit that is reached and returns an
// *Error; what was charged until then stays charged, the refused unit excepted.
// Put the limits of an address before those of an account.
//
// A store that fails is no error: the charge is counted in this process instead
// . The other errors are the context's, before anything is charged, and
// ErrInvalidCharge. With an error the Reservation is nil.
func (l *Limiter) Reserve(ctx context.Context, charges ...Charge) (*Reservation, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ratelimit: before charging: %w", context.Cause(ctx))
	}
	if len(charges) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrInvalidCharge)
	}
	for _, c := range charges {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	r := &Reservation{limiter: l, taken: make([]tally, 0, len(charges))}
	for _, c := range charges {
		taken, refused := l.take(ctx, c)
		if refused != nil {
			return nil, refused
		}
		r.taken = append(r.taken, taken...)
	}
	return r, nil
}

// take charges one limit and returns what that took, or the refusal, with nothing taken.
func (l *Limiter) take(ctx context.Context, c Charge) ([]tally, *Error) {
	p := &purchase{limiter: l, charge: c}
	t := p.count(ctx, "", c.Rate)
	beyond := t.count - t.rate.Limit
	switch {
	case c.Member != "" && p.isKnown(ctx, beyond > 0):
		p.giveBack(ctx)
		return nil, nil
	case c.policy.isSpaced && beyond >= 0:
		// One unit each while: whoever comes first gets it and begins the next, longer while. The
		// steps are counted apart, because a crowd that is refused raises the count for a moment.
		while := p.count(ctx, "~", Rate{1, spacing(p.look(ctx, "#"))})
		if while.count > 1 {
			return nil, p.refuse(ctx, while)
		}
		p.count(ctx, "#", Rate{maxLimit, c.Rate.Period})
	case beyond > 0:
		return nil, p.refuse(ctx, t)
	}
	return p.taken, nil
}

// purchase is one charge on its way: a bucket may need counters beside its own.
type purchase struct {
	limiter *Limiter
	charge  Charge
	taken   []tally
}

// name is of the counter itself (""), of the marks of members (+), of the while that a spaced
// bucket waits (~) or of its steps (#). The period is part of it, so that two windows of one
// bucket are two counters; a while goes on with another period.
func (p *purchase) name(kind string) string {
	key := p.charge.Key
	switch kind {
	case "+":
		key += "\x00" + p.charge.Member
	case "":
		key += "\x00" + strconv.FormatInt(int64(p.charge.Rate.Period/time.Second), 10)
	}
	return p.limiter.name(p.charge.Bucket+kind, key)
}

func (p *purchase) count(ctx context.Context, kind string, rate Rate) tally {
	t := p.limiter.charge(ctx, p.name(kind), rate, p.charge.policy.place)
	t.policy = p.charge.policy
	p.taken = append(p.taken, t)
	return t
}

func (p *purchase) look(ctx context.Context, kind string) int64 {
	return p.limiter.look(ctx, p.name(kind), p.charge.Rate, p.charge.policy.place)
}

// isKnown reports whether the member is counted already. Only one that has got a unit of the
// bucket is marked, so that of any number at once none passes on the mark of another that is
// about to be refused. Where there is no room for marks, every attempt pays like a new member.
func (p *purchase) isKnown(ctx context.Context, isFull bool) bool {
	if isFull {
		return p.look(ctx, "+") > 0
	}
	mark := p.count(ctx, "+", Rate{maxLimit, p.charge.Rate.Period})
	return mark.count > 1 && mark.key == p.name("+")
}

func (p *purchase) giveBack(ctx context.Context) {
	(&Reservation{limiter: p.limiter, taken: p.taken}).Refund(ctx)
}

// refuse gives back what was taken. Kept, it would stand for an attempt that nobody made: once
// the admitted ones are refunded, the counter would still be full.
func (p *purchase) refuse(ctx context.Context, t tally) *Error {
	p.giveBack(ctx)
	return &Error{RetryAfter: retryAfter(time.Until(t.ends), t.rate.Period), Bucket: p.charge.Bucket}
}

// Refund gives everything back, after an attempt that was not made: exactly the
// one unit of each charge. It never resets a counter and never opens or
// prolongs a window. A unit whose window is over, or with shared counters nearly
// so (1.5 s), is gone. A second Refund or Forgive, and one of a nil Reservation,
// does nothing. It is done even if the context is over; a store that fails keeps
// the unit.
func (r *Reservation) Refund(ctx context.Context) {
	r.giveBack(ctx, func(tally) int64 { return 1 })
}

// Forgive is Refund after an attempt that turned out to be honest: what a bucket
// counts of successes too stays charged, and a streak of failures ends.
func (r *Reservation) Forgive(ctx context.Context) {
	r.giveBack(ctx, func(t tally) int64 {
		switch {
		case t.policy.isKept:
			return 0
		case t.policy.isStreak:
			return t.count
		}
		return 1
	})
}

func (r *Reservation) giveBack(ctx context.Context, units func(tally) int64) {
	if r == nil || r.done.Swap(true) {
		return
	}
	l := r.limiter
	for _, t := range r.taken {
		n := units(t)
		switch {
		case n == 0:
		case !t.shared:
			l.local.refund(t, n)
		case time.Until(t.ends) < refundMargin: // gone; and nobody is asked, so that nothing is learnt
		case l.sharedAllowed():
			l.noteShared(l.shared.refund(ctx, t, n))
		}
	}
}

func notInBucket(r rune) bool { return !strings.ContainsRune(bucketAlphabet, r) }

// check returns ErrInvalidCharge and the reason; the key is never in it.
func (c Charge) check() error {
	if c.Bucket == "" || len(c.Bucket) > maxBucketBytes || strings.ContainsFunc(c.Bucket, notInBucket) {
		return fmt.Errorf("%w: bucket %q", ErrInvalidCharge, c.Bucket)
	}
	if c.Key == "" {
		return fmt.Errorf("%w: bucket %q without a key", ErrInvalidCharge, c.Bucket)
	}
	if err := c.Rate.check(); err != nil {
		return fmt.Errorf("%w: bucket %q: %w", ErrInvalidCharge, c.Bucket, err)
	}
	return nil
}

// name returns the counter's name: the bucket and 16 bytes of an HMAC.
func (l *Limiter) name(bucket, key string) string {
	mac := hmac.New(sha256.New, l.secret)
	mac.Write([]byte(bucket + "\x00" + key))
	return bucket + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:keyBytes])
}

// charge counts where the place says, or in this process while that is away.
func (l *Limiter) charge(ctx context.Context, key string, rate Rate, p place) tally {
	if l.shared == nil || !l.shared.counts(p) {
		return l.local.charge(key, rate)
	}
	if l.sharedAllowed() {
		t, err := l.shared.charge(ctx, key, rate, 1)
		l.noteShared(err)
		if err == nil {
			t.shared = true
			return t
		}
	}
	rate.Limit = max(1, rate.Limit/int64(l.cfg.Replicas))
	return l.local.charge(key, rate)
}

// look returns a counter without charging it; 0 is also what is not known.
func (l *Limiter) look(ctx context.Context, key string, rate Rate, p place) int64 {
	if l.shared != nil && l.shared.counts(p) && l.sharedAllowed() {
		t, err := l.shared.charge(ctx, key, rate, 0)
		l.noteShared(err)
		if err == nil {
			return t.count
		}
	}
	return l.local.look(key)
}

// sharedAllowed reports whether the shared counters are to be asked: always, until it fails;
// then by one caller each second, so that only one pays the wait.
func (l *Limiter) sharedAllowed() bool {
	at := l.retryAt.Load()
	if at == 0 {
		return true
	}
	now := int64(time.Since(l.started))
	return now >= at && l.retryAt.CompareAndSwap(at, now+int64(circuitPause))
}

// noteShared remembers whether they answered, and reports when it did not.
func (l *Limiter) noteShared(err error) {
	if err == nil {
		if l.retryAt.Load() != 0 {
			l.retryAt.Store(0)
		}
		return
	}
	now := int64(time.Since(l.started))
	l.retryAt.Store(now + int64(circuitPause))
	next := l.reports.Load()
	if l.cfg.OnFallback != nil && now >= next && l.reports.CompareAndSwap(next, now+int64(reportPause)) {
		l.cfg.OnFallback(fmt.Errorf("ratelimit: the shared counters are away, limits hold in this process only: %w", err))
	}
}
