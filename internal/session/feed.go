package session

import (
	"sync"
	"time"

	"latchkey/internal/token"
)

// feedCache keeps the last feed: a signature costs as much as a hundred answers.
type feedCache struct {
	mu      sync.Mutex
	last    token.Feed
	version uint64 // of the list in it
}

// Feed answers the sessions that ended while their access tokens may still live, for services
// that verify access tokens themselves. It is signed anew when the list has changed, and before
// it gets old. Errors: ErrUncertain, or the issuer's.
func (s *Service) Feed() (token.Feed, error) {
	if err := s.Fresh(); err != nil {
		return token.Feed{}, err
	}
	c := &s.feed
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.tokens.Access.IsOld(c.last, time.Now()) && !s.ended.changed(c.version) {
		return c.last, nil
	}
	ids, version := s.ended.list()
	next, err := s.tokens.Access.Feed(ids)
	if err != nil {
		return token.Feed{}, err
	}
	c.last, c.version = next, version
	return next, nil
}
