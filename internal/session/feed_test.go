package session

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/token"
)

// The feed is signed anew when it says something else or gets old, and is not made from a view
// that decides nothing.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := fakeService(t, &fakeStore{})
		if _, err := s.Feed(); !errors.Is(err, ErrUncertain) {
			t.Errorf("before the first look: %v", err)
		}
		if err := s.LoadEnded(t.Context()); err != nil {
			t.Fatal(err)
		}
		feed := func() token.Feed {
			t.Helper()
			f, err := s.Feed()
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		first := feed()
		time.Sleep(time.Second)
		if feed() != first {
			t.Error("signed again for nothing")
		}
		id := uuid.New()
		s.noteEnded(id)
		second := feed()
		if second.JWS == first.JWS || second.Tag == first.Tag {
			t.Error("it does not tell of a new end")
		}
		s.noteEnded(id)
		if feed() != second {
			t.Error("signed again for what was known")
		}
		for range 3 { // as long as the view counts
			time.Sleep(10 * time.Second)
			if err := s.LoadEnded(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		third := feed()
		if third.JWS == second.JWS || third.Tag == second.Tag {
			t.Error("an old signature goes out")
		}
		time.Sleep(token.MaxAccessLife)
		if _, err := s.Feed(); !errors.Is(err, ErrUncertain) {
			t.Errorf("with an old view: %v", err)
		}
		if err := s.reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		feed()
		if s.feed.version == 1 {
			t.Error("it tells of a session none of whose access tokens can be alive")
		}
	})
}
