package ratelimit

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ululememory "github.com/ulule/limiter/v3/drivers/store/memory"
)

const (
	sweepInterval = time.Minute
	fullInterval  = time.Second // between sweeps while there is no room
	sweepBatch    = 256
	overflowChars = 2 // of base64url: 4,096 counters a bucket
)

// memory counts in this process with ulule/limiter's counters, which have no
// bound of their own. Once max of them are kept, a name that has none yet shares
// one of 4,096 counters of its bucket: under a flood limits grow stricter, never
// laxer, and memory stays bounded.
type memory struct {
	cache   *ululememory.CacheWrapper
	max     int64
	entries atomic.Int64
	started time.Time
	swept   atomic.Int64 // when, in ns since started

	// sweeping is held for writing while counters are removed: ulule's own
	// cleaner can remove one that was charged a moment ago.
	sweeping sync.RWMutex
}

func newMemory(max int) *memory {
	return &memory{cache: ululememory.NewCache(0), max: int64(max), started: time.Now()}
}

func (m *memory) charge(key string, rate Rate) tally {
	m.sweepInTime()
	m.sweeping.RLock()
	defer m.sweeping.RUnlock()
	counter, ok := m.cache.Load(key)
	if !ok {
		if m.entries.Load() >= m.max {
			key = overflowKey(key, rate)
		}
		if counter, ok = m.cache.LoadOrStore(key, new(ululememory.Counter)); !ok {
			m.entries.Add(1)
		}
	}
	// A window of ulule's includes the instant of its end.
	count, expiration := counter.Increment(1, time.Now().Add(rate.Period).UnixNano()-1)
	return tally{key: key, rate: rate, count: count, ends: time.Unix(0, expiration+1)}
}

// look returns a counter without charging it, 0 for none.
func (m *memory) look(key string) int64 {
	m.sweeping.RLock()
	defer m.sweeping.RUnlock()
	counter, ok := m.cache.Load(key)
	if !ok || counter.Expired() {
		return 0
	}
	return counter.Value()
}

func (m *memory) refund(t tally, n int64) {
	m.sweeping.RLock()
	defer m.sweeping.RUnlock()
	expiration := t.ends.UnixNano() - 1
	counter, ok := m.cache.Load(t.key)
	if !ok || counter.Expiration() != expiration || counter.Expired() {
		return
	}
	// The window may end just here: then a new one would begin with units too many.
	if count, _ := counter.Increment(-n, expiration); count < 0 {
		counter.Increment(-count, expiration)
	}
}

// overflowKey returns the name that key shares with others of its bucket and
// period.
func overflowKey(key string, rate Rate) string {
	bucket, mac, _ := strings.Cut(key, ":")
	return bucket + ":" + strconv.FormatInt(int64(rate.Period/time.Second), 10) + "~" + mac[:overflowChars]
}

// sweepInTime starts a sweep once a minute, or once a second without room. There
// is no goroutine in between, and so nothing to stop.
func (m *memory) sweepInTime() {
	interval := int64(sweepInterval)
	if m.entries.Load() >= m.max {
		interval = int64(fullInterval)
	}
	last, now := m.swept.Load(), int64(time.Since(m.started))
	if now-last >= interval && m.swept.CompareAndSwap(last, now) {
		go m.sweep()
	}
}

// sweep removes the counters whose window is over, a few at a time, so that no
// charge waits for all of them.
func (m *memory) sweep() {
	var over []string
	m.cache.Range(func(key string, counter *ululememory.Counter) {
		if counter.Expired() {
			over = append(over, key)
		}
	})
	for len(over) > 0 {
		n := min(sweepBatch, len(over))
		m.remove(over[:n])
		over = over[n:]
	}
}

func (m *memory) remove(keys []string) {
	m.sweeping.Lock()
	defer m.sweeping.Unlock()
	for _, key := range keys {
		if counter, ok := m.cache.Load(key); ok && counter.Expired() {
			m.cache.Delete(key)
			m.entries.Add(-1)
		}
	}
}
