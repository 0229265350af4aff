package session

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/token"
)

// endedSet knows the sessions that ended so recently that an access token of theirs may still
// be alive; older ones need no entry, so it stays small. The zero value is empty.
type endedSet struct {
	mu      sync.RWMutex
	until   map[uuid.UUID]time.Time
	version uint64    // counts changes of until's keys
	asOf    time.Time // complete up to here; the zero Time: never
}

// current notes that everything that ended before an instant is in the set.
func (e *endedSet) current(asOf time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asOf = asOf
}

// age is how long ago the set was complete.
func (e *endedSet) age() time.Duration {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return time.Since(e.asOf)
}

func (e *endedSet) add(ids ...uuid.UUID) {
	until := time.Now().Add(token.MaxAccessLife)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until == nil {
		e.until = make(map[uuid.UUID]time.Time)
	}
	for _, id := range ids {
		// The first entry stands: reading the same fact again must not keep it for ever.
		if _, known := e.until[id]; !known {
			e.until[id] = until
			e.version++
		}
	}
}

func (e *endedSet) has(id uuid.UUID) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, ended := e.until[id]
	return ended
}

// sweep forgets what no living access token can refer to.
func (e *endedSet) sweep() {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, until := range e.until {
		if now.After(until) {
			delete(e.until, id)
			e.version++
		}
	}
}

// list answers the sessions, in no order, and the version of the list.
func (e *endedSet) list() ([]uuid.UUID, uint64) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.Collect(maps.Keys(e.until)), e.version
}

// changed reports whether the list is another one than a version's.
func (e *endedSet) changed(version uint64) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.version != version
}
