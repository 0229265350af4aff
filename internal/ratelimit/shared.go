package ratelimit

import (
	"context"
	"fmt"
	"time"
)

const (
	// How long one charge may take, whatever it needs. Redis is asked by logins that could do
	// without it; without the database there is no login to hurry for.
	redisTimeout    = 100 * time.Millisecond
	databaseTimeout = 2 * time.Second
	// refundMargin is how much of a window must be left for a refund: ulule tells
	// the end to the second, and the refund takes time to arrive. Shorter
	// windows are never refunded.
	refundMargin = 1500 * time.Millisecond

	cleanupBatch = 1000
)

// Rows keeps counters in a database that replicas share.
type Rows interface {
	// AddToCounter adds n, which may be negative, and answers the counter, which is never
	// below zero, and what is left of its window. The first unit opens a window of the period.
	AddToCounter(ctx context.Context, name string, n int64, period time.Duration) (count int64, left time.Duration, err error)
	// DeleteDeadCounters deletes at most limit counters whose window is over and answers how many.
	DeleteDeadCounters(ctx context.Context, limit int) (int, error)
}

// Shared counts for all processes that share a Redis server or a database.
type Shared struct {
	all     bool // every charge that a process may share; else the accounts' alone
	timeout time.Duration
	add     func(ctx context.Context, key string, n int64, period time.Duration) (count int64, ends time.Time, err error)
	ping    func(context.Context) error
	cleanUp func(context.Context) error // nil: it needs none
	close   func() error
}

// OnDatabase counts what is about accounts in a database, where there is no Redis: elsewhere a
// unit more or less does no harm, and a statement for each would.
func OnDatabase(rows Rows) *Shared {
	return &Shared{
		timeout: databaseTimeout,
		add: func(ctx context.Context, key string, n int64, period time.Duration) (int64, time.Time, error) {
			count, left, err := rows.AddToCounter(ctx, key, n, period)
			return count, time.Now().Add(left), err
		},
		ping:  func(context.Context) error { return nil },
		close: func() error { return nil },
		cleanUp: func(ctx context.Context) error {
			for {
				if n, err := rows.DeleteDeadCounters(ctx, cleanupBatch); err != nil || n < cleanupBatch {
					return err
				}
			}
		},
	}
}

// Ping reports whether the counters can be reached.
func (s *Shared) Ping(ctx context.Context) error { return s.ping(ctx) }

func (s *Shared) counts(p place) bool { return p == inDatabase || s.all && p == inRedis }

func (s *Shared) charge(ctx context.Context, key string, rate Rate, n int64) (tally, error) {
	count, ends, err := s.addInTime(ctx, key, n, rate.Period)
	return tally{key: key, rate: rate, count: count, ends: ends}, err
}

// refund takes n units of a tally back. A decrement of a key that is gone makes ulule open a
// window below zero: refundMargin keeps away from the end of the window, and what fell below
// zero all the same (a Redis that was emptied) is made good.
func (s *Shared) refund(ctx context.Context, t tally, n int64) error {
	count, _, err := s.addInTime(ctx, t.key, -n, t.rate.Period)
	if err == nil && count < 0 {
		_, _, err = s.addInTime(ctx, t.key, -count, t.rate.Period)
	}
	return err
}

// addInTime does not end with the caller's context: a client that hangs up must not look like
// counters that are away.
func (s *Shared) addInTime(ctx context.Context, key string, n int64, period time.Duration) (int64, time.Time, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	count, ends, err := s.add(ctx, key, n, period)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("ratelimit: count: %w", err)
	}
	if latest := time.Now().Add(period); ends.After(latest) {
		ends = latest
	}
	return count, ends, nil
}
