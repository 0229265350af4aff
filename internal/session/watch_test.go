package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/ratelimit"
)

// overs collects what a watch is told.
type overs []bool

func (o *overs) over(ended bool) { *o = append(*o, ended) }

// Whoever serves a session over time learns once that it must stop, and whether to say that the
// session has ended.
func TestWatch(t *testing.T) {
	const life = 10 * time.Minute
	for why, test := range map[string]struct {
		do   func(s *Service, db *fakeStore, p Principal)
		wait time.Duration
		want overs
	}{
		"nothing happens": {func(*Service, *fakeStore, Principal) {}, life - time.Second, nil},
		"the session ends here": {func(s *Service, _ *fakeStore, p Principal) {
			s.noteEnded(p.SessionID)
		}, 0, overs{true}},
		"the end is heard of twice, and the access token expires": {func(s *Service, db *fakeStore, p Principal) {
			s.noteEnded(p.SessionID)
			db.tell <- p.SessionID
		}, 2 * life, overs{true}},
		"another process tells": {func(_ *Service, db *fakeStore, p Principal) {
			db.tell <- p.SessionID
		}, 0, overs{true}},
		"another process ended it, and nobody told": {func(_ *Service, db *fakeStore, p Principal) {
			db.turn(func() { db.ended = []uuid.UUID{p.SessionID} })
		}, reloadInterval, overs{true}},
		"another session ends": {func(s *Service, _ *fakeStore, _ Principal) {
			s.noteEnded(uuid.New())
		}, 0, nil},
		"the access token expires": {func(*Service, *fakeStore, Principal) {}, life + time.Second, overs{false}},
		"nobody can tell any more": {func(_ *Service, db *fakeStore, _ Principal) {
			db.turn(func() { db.err = errors.New("away") })
		}, maxViewAge + watchInterval, overs{false}},
		"the database is away for a moment": {func(_ *Service, db *fakeStore, _ Principal) {
			db.turn(func() { db.err = errors.New("away") })
		}, maxViewAge - reloadInterval, nil},
		"the process stops": {func(s *Service, _ *fakeStore, _ Principal) { s.CloseWatches() }, 0, overs{false}},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := &fakeStore{tell: make(chan uuid.UUID)}
				s, _, _ := fakeService(t, db)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go s.Run(ctx, quiet())
				synctest.Wait()
				p := Principal{UserID: uuid.New(), SessionID: uuid.New(), Until: time.Now().Add(life)}
				var got overs
				stop, err := s.Watch(p, got.over)
				if err != nil {
					t.Fatal(err)
				}
				test.do(s, db, p)
				time.Sleep(test.wait)
				synctest.Wait()
				if len(got) != len(test.want) || (len(got) > 0 && got[0] != test.want[0]) {
					t.Errorf("told %v, not %v", got, test.want)
				}
				stop()
				s.noteEnded(p.SessionID)
				time.Sleep(2 * life)
				if len(got) != len(test.want) {
					t.Error("told something after it stopped")
				}
				if s.watches.count != 0 || len(s.watches.bySession) != 0 {
					t.Errorf("left behind: %d", s.watches.count)
				}
			})
		})
	}
}

func TestWatchOfAnEndedSession(t *testing.T) {
	s, access, _ := fakeService(t, &fakeStore{})
	s.noteEnded(access.SessionID)
	var got overs
	if _, err := s.Watch(Principal{SessionID: access.SessionID, Until: time.Now().Add(time.Hour)}, got.over); err != nil || len(got) != 1 || !got[0] {
		t.Errorf("%v, %v", got, err)
	}
	got = nil
	synctest.Test(t, func(t *testing.T) {
		if _, err := s.Watch(Principal{SessionID: uuid.New()}, got.over); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(got) != 1 || got[0] {
			t.Errorf("a principal without a term: %v", got)
		}
	})
}

func TestWatchesAreBounded(t *testing.T) {
	s, _, _ := fakeService(t, &fakeStore{})
	p := Principal{SessionID: uuid.New(), Until: time.Now().Add(time.Hour)}
	var stops []func()
	for range maxSessionWatches {
		stop, err := s.Watch(p, func(bool) {})
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
	}
	var limited *ratelimit.Error
	if _, err := s.Watch(p, func(bool) {}); !errors.As(err, &limited) || limited.RetryAfter <= 0 {
		t.Errorf("one too many of a session: %v", err)
	}
	stops[0]()
	stops[0]() // gives back one place, not two
	if _, err := s.Watch(p, func(bool) {}); err != nil {
		t.Errorf("a place is free again: %v", err)
	}
	if _, err := s.Watch(p, func(bool) {}); !errors.As(err, &limited) {
		t.Errorf("one too many again: %v", err)
	}
	for range maxWatches - maxSessionWatches {
		if _, err := s.Watch(Principal{}, func(bool) {}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Watch(Principal{}, func(bool) {}); !errors.Is(err, ErrNoRoom) {
		t.Errorf("one too many of the process: %v", err)
	}
	s.noteEnded(uuid.Nil) // nobody's session
	if s.watches.count != maxWatches {
		t.Errorf("%d left", s.watches.count)
	}
	s.CloseWatches()
	if _, err := s.Watch(Principal{}, func(bool) {}); !errors.Is(err, ErrNoRoom) || s.watches.count != 0 {
		t.Errorf("after the stop: %v, %d", err, s.watches.count)
	}
}
