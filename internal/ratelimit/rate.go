package ratelimit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	maxLimit  = 1_000_000_000
	maxPeriod = 30 * 24 * time.Hour
)

// Rate is so many units in each window of Period. The zero Rate is not valid,
// and there is none that means "off": a limit that can be forgotten is none.
//
// Windows are fixed and opened by the first charge of a key, so that up to twice
// the Limit can pass in a short while around the end of a window. Choose the
// numbers with that in mind.
type Rate struct {
	Limit  int64         // at least 1
	Period time.Duration // whole seconds, 1s to 720h
}

// ParseRate reads "limit/period", such as "20/5m" or "300/1m": a decimal number
// and a duration as time.ParseDuration reads it.
func ParseRate(s string) (Rate, error) {
	limit, period, ok := strings.Cut(s, "/")
	if !ok {
		return Rate{}, fmt.Errorf("ratelimit: rate %q is not of the form 20/5m", s)
	}
	n, err := strconv.ParseUint(limit, 10, 63)
	if err != nil {
		return Rate{}, fmt.Errorf("ratelimit: rate %q: the limit is not a whole number from 1 to %d", s, maxLimit)
	}
	d, err := time.ParseDuration(period)
	if err != nil {
		return Rate{}, fmt.Errorf("ratelimit: rate %q: the period is not a duration such as 30s, 5m or 1h", s)
	}
	r := Rate{Limit: int64(n), Period: d}
	if err := r.check(); err != nil {
		return Rate{}, fmt.Errorf("ratelimit: rate %q: %w", s, err)
	}
	return r, nil
}

// check returns an error that says which field is out of range.
func (r Rate) check() error {
	if r.Limit < 1 || r.Limit > maxLimit {
		return fmt.Errorf("the limit is not a whole number from 1 to %d", maxLimit)
	}
	if r.Period < time.Second || r.Period > maxPeriod || r.Period%time.Second != 0 {
		return fmt.Errorf("the period is not a whole number of seconds from 1s to %s", shortDuration(maxPeriod))
	}
	return nil
}

// String returns the rate as ParseRate reads it.
func (r Rate) String() string {
	return strconv.FormatInt(r.Limit, 10) + "/" + shortDuration(r.Period)
}

// shortDuration drops the zeros of "5m0s" and "1h0m0s".
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Error is returned when a limit is reached.
type Error struct {
	// RetryAfter is how long the window still lasts: whole seconds, rounded up,
	// at least one and at most the period. It depends on the counter only,
	// never on whether an account exists.
	RetryAfter time.Duration
	// Bucket is whose limit it was, for the log. A client is not told.
	Bucket string
}

// Error says that a limit is reached, but not whose.
func (*Error) Error() string { return "ratelimit: limit reached" }

// retryAfter rounds what is left of a window up to whole seconds.
func retryAfter(left, period time.Duration) time.Duration {
	seconds := math.Ceil(left.Seconds())
	return min(max(time.Duration(seconds)*time.Second, time.Second), period)
}
