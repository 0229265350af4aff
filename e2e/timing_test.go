package e2e

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// how long a login with a wrong password takes does not tell whether there is such an
// account, or in what state it is. The test finds a difference of half a millisecond on an idle
// server, and one of five where the places for hashes are taken.
func TestLoginTimeTellsNothing(t *testing.T) {
	p, accounts := timedServer(t, "LATCHKEY_ARGON2_CONCURRENCY=1")
	t.Run("idle", func(t *testing.T) { // not in parallel: other tests are noise
		sameTimes(t, p, accounts, 0)
	})
	t.Run("every place for a hash is taken", func(t *testing.T) {
		over := make(chan struct{})
		var crowd sync.WaitGroup
		crowd.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					timeLogin(t, p, "crowd@example.com")
				}
			}
		})
		defer crowd.Wait()
		defer close(over)
		sameTimes(t, p, accounts[:2], 20*time.Millisecond) // the time of one hash
	})
}

// timedServer answers a server and the addresses that are to be alike, those that occur most
// often first. All have the same length.
func timedServer(t *testing.T, env ...string) (*process, []string) {
	t.Helper()
	s := newSite(t, "sqlite", env...)
	p := serveBuilt(t, plainBinary, s.env...)
	for _, name := range []string{"known", "stale", "empty"} {
		if _, codes := ask(t, &client{}, p, signUpBody, map[string]any{"e": name + "@example.com"}); len(codes) > 0 {
			t.Fatal(codes)
		}
	}
	db, done := s.open()
	defer done()
	db.Exec(t, "UPDATE users SET disabled_at = created_at WHERE email = 'stale@example.com'")
	db.Exec(t, "UPDATE users SET password_hash = '' WHERE email = 'empty@example.com'")
	return p, []string{"never@example.com", "known@example.com", "stale@example.com", "empty@example.com"}
}

func timeLogin(t *testing.T, p *process, email string) time.Duration {
	c := &client{}
	began := time.Now()
	a, err := c.gql(p.url, loginBody, map[string]any{"e": email, "p": "a wrong guess"})
	took := time.Since(began)
	if codes := a.codes(); err != nil || len(codes) != 1 || codes[0] != "INVALID_CREDENTIALS" {
		t.Errorf("%v, %v", err, codes)
	}
	return took
}

// sameTimes fails if the times for the first account and for another differ three times in a
// row by more than chance makes likely: 150 logins each for the first two, in random order and
// after pauses of random length, so that no login keeps step with the one before or the crowd.
func sameTimes(t *testing.T, p *process, accounts []string, pause time.Duration) {
	t.Helper()
	const logins, level, attempts = 150, 0.01, 3
	for attempt := 1; ; attempt++ {
		times := map[string][]time.Duration{}
		for i := range 10 + logins {
			for _, n := range rand.Perm(len(accounts)) {
				if n > 1 && i%2 == 0 {
					continue
				}
				time.Sleep(time.Duration(rand.Int64N(int64(pause) + 1)))
				took := timeLogin(t, p, accounts[n])
				if i >= 10 { // what comes before warms up
					times[accounts[n]] = append(times[accounts[n]], took)
				}
			}
		}
		least, text := 1.0, ""
		for _, account := range accounts[1:] {
			all := rankTest(times[accounts[0]], times[account], byRank)
			fastest := rankTest(times[accounts[0]], times[account], ofTheFastest)
			least = min(least, all, fastest)
			text += fmt.Sprintf("; %s %v, p %.3f and %.3f", account, median(times[account]), all, fastest)
		}
		t.Logf("median of %s %v%s", accounts[0], median(times[accounts[0]]), text)
		if least > level {
			return
		}
		if attempt == attempts {
			t.Fatal("the time of a login tells accounts apart")
		}
	}
}

func median(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2].Round(10 * time.Microsecond)
}

// The scores of rankTest: byRank makes it the U test of Mann and Whitney. ofTheFastest
// (Gastwirth 1965) looks at the fastest quarter alone, as who attacks does: what else the
// machine does only ever adds.
func byRank(rank, _ float64) float64        { return rank }
func ofTheFastest(rank, of float64) float64 { return max(0, of/4-rank) }

// rankTest is how likely two samples of one distribution differ as much as these, or more, in
// the sum of their scores: two-sided, in the normal approximation.
func rankTest(a, b []time.Duration, score func(rank, of float64) float64) float64 {
	type sample struct {
		took time.Duration
		of   int
	}
	var all []sample
	for i, times := range [][]time.Duration{a, b} {
		for _, took := range times {
			all = append(all, sample{took, i})
		}
	}
	// Ties, of which there are hardly any, are broken by chance.
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(x, y sample) int { return cmp.Compare(x.took, y.took) })
	n := float64(len(all))
	var sum, square, first float64
	for i, s := range all {
		x := score(float64(i), n)
		sum += x
		square += x * x
		if s.of == 0 {
			first += x
		}
	}
	share := float64(len(a)) / n
	variance := share * (1 - share) * n / (n - 1) * (square - sum*sum/n)
	return math.Erfc(math.Abs(first-share*sum) / math.Sqrt(2*variance))
}

func TestRankTest(t *testing.T) {
	series := func(n, from, step int) (out []time.Duration) {
		for i := range n {
			out = append(out, time.Duration(from+i*step))
		}
		return out
	}
	slow := func(n, times int, s []time.Duration) []time.Duration {
		for i := range n {
			s[len(s)-1-i] *= time.Duration(times)
		}
		return s
	}
	same, different := [2]float64{0.5, 1}, [2]float64{0, 0.01}
	for reason, test := range map[string]struct {
		a, b         []time.Duration
		all, fastest [2]float64
	}{
		"numbers in turn":                      {series(50, 0, 2), series(50, 1, 2), same, same},
		"samples of unequal sizes":             {series(150, 0, 10), series(75, 4, 20), same, same},
		"no overlap":                           {series(50, 0, 1), series(50, 100, 1), different, different},
		"no overlap, the other way":            {series(50, 100, 1), series(50, 0, 1), different, different},
		"a shift by a tenth":                   {series(150, 0, 10), series(150, 155, 10), different, different},
		"a shift by a third of that":           {series(150, 0, 10), series(150, 55, 10), [2]float64{0.2, 0.5}, [2]float64{0.01, 0.5}},
		"only the slow half differs":           {slow(75, 5, series(150, 1, 10)), series(150, 6, 10), different, same},
		"a shift below noise that only delays": {slow(100, 50, series(150, 1001, 10)), slow(100, 50, series(150, 1134, 10)), [2]float64{0.01, 0.5}, different},
	} {
		all, fastest := rankTest(test.a, test.b, byRank), rankTest(test.a, test.b, ofTheFastest)
		if all < test.all[0] || all > test.all[1] || fastest < test.fastest[0] || fastest > test.fastest[1] {
			t.Errorf("%s: p %g and %g", reason, all, fastest)
		}
	}
}
