package session

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/ratelimit"
)

const (
	maxWatches        = 20_000 // of a process
	maxSessionWatches = 10     // of a session
	// watchPause is how long a session with too many watches waits. One of them ends with an
	// access token at the latest; usually a page was closed.
	watchPause = 10 * time.Second
)

// ErrNoRoom: this process watches as many sessions as it can, or is stopping.
var ErrNoRoom = errors.New("session: no room for another watch")

// watch waits for the end of one session.
type watch struct {
	session uuid.UUID
	expiry  *time.Timer // nil where nothing expires
	over    func(ended bool)
}

// watchList is every watch of this process. The zero value is empty.
type watchList struct {
	mu        sync.Mutex
	bySession map[uuid.UUID]map[*watch]struct{}
	count     int
	closed    bool
}

// Watch calls over once, from wherever it learns of it, when a principal's session must not be
// served any longer: with true when the session has ended, with false when the access token is
// no longer accepted, when this process cannot tell any more, or when it stops. over must
// not block. Where nobody is signed in there is only the process's stop to wait for. Whoever
// watches calls stop in the end. Errors: *ratelimit.Error, ErrNoRoom.
func (s *Service) Watch(p Principal, over func(ended bool)) (stop func(), err error) {
	w := &watch{session: p.SessionID, over: over}
	if err := s.watches.add(w, p.Until); err != nil {
		return nil, err
	}
	// An end before this line is seen here, a later one finds the watch.
	if s.ended.has(p.SessionID) {
		s.watches.end(p.SessionID)
	}
	return func() { s.watches.remove(w) }, nil
}

// CloseWatches ends every watch and admits no more.
func (s *Service) CloseWatches() {
	s.watches.mu.Lock()
	s.watches.closed = true
	s.watches.mu.Unlock()
	s.watches.endAll()
}

// noteEnded is told of every session that ends, wherever it does.
func (s *Service) noteEnded(ids ...uuid.UUID) {
	s.ended.add(ids...)
	for _, id := range ids {
		s.watches.end(id)
	}
}

func (s *Service) endUncertainWatches(context.Context) error {
	if s.Fresh() != nil {
		s.watches.endAll()
	}
	return nil
}

func (l *watchList) add(w *watch, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	signedIn := w.session != uuid.Nil
	switch {
	case l.closed || l.count >= maxWatches:
		return ErrNoRoom
	case signedIn && len(l.bySession[w.session]) >= maxSessionWatches:
		return &ratelimit.Error{RetryAfter: watchPause}
	}
	if l.bySession == nil {
		l.bySession = make(map[uuid.UUID]map[*watch]struct{})
	}
	if l.bySession[w.session] == nil {
		l.bySession[w.session] = make(map[*watch]struct{})
	}
	l.bySession[w.session][w] = struct{}{}
	l.count++
	if signedIn {
		w.expiry = time.AfterFunc(time.Until(until), func() {
			if l.remove(w) {
				w.over(false)
			}
		})
	}
	return nil
}

// remove reports whether the watch was still on: only who removed it may call over.
func (l *watchList) remove(w *watch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drop(w)
}

func (l *watchList) drop(w *watch) bool {
	if _, on := l.bySession[w.session][w]; !on {
		return false
	}
	delete(l.bySession[w.session], w)
	if len(l.bySession[w.session]) == 0 {
		delete(l.bySession, w.session)
	}
	l.count--
	if w.expiry != nil {
		w.expiry.Stop()
	}
	return true
}

// end tells the watches of a session that it has ended.
func (l *watchList) end(id uuid.UUID) {
	l.mu.Lock()
	var told []*watch
	if id != uuid.Nil {
		told = slices.Collect(maps.Keys(l.bySession[id]))
	}
	for _, w := range told {
		l.drop(w)
	}
	l.mu.Unlock()
	for _, w := range told {
		w.over(true)
	}
}

func (l *watchList) endAll() {
	l.mu.Lock()
	var told []*watch
	for _, watches := range l.bySession {
		told = slices.AppendSeq(told, maps.Keys(watches))
	}
	for _, w := range told {
		l.drop(w)
	}
	l.mu.Unlock()
	for _, w := range told {
		w.over(false)
	}
}
