package session

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/token"
)

// endedSet knows the sessions that ended so recently that an access token of theirs may still
// be alive; older ones need no entry, so it stays small. The zero value is empty.
type endedSet struct {
	mu    sync.RWMutex
	until map[uuid.UUID]time.Time
}

func (e *endedSet) add(ids ...uuid.UUID) {
	if len(ids) == 0 {
		return
	}
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
		}
	}
}
