package session_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// whatever refreshes get on any replica while revokeAll runs on one is dead afterwards:
// 1,000 rounds of 200 refreshes with LATCHKEY_TEST_LONG set, otherwise what three seconds allow.
func TestRefreshesRaceRevokeAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		master := newMaster(t)
		replicas := []*session.Service{newService(t, db, master, policy), newService(t, db, master, policy)}
		u := newUser(t, db, "ada@example.com")
		rounds, granted := 0, 0
		long := os.Getenv("LATCHKEY_TEST_LONG") != ""
		raced := func() bool { return granted > 0 && granted < rounds*200 }
		goesOn := func(took time.Duration) bool {
			return long || took < 3*time.Second || !raced() && took < 10*time.Second
		}
		for began := time.Now(); rounds < 1000 && goesOn(time.Since(began)) && !t.Failed(); rounds++ {
			granted += raceRevokeAll(t, replicas, u)
		}
		t.Logf("%d rounds of 200 refreshes, of which %d came before the end", rounds, granted)
		if !raced() {
			t.Error("nothing raced")
		}
	})
}

// raceRevokeAll answers how many refreshes were granted.
func raceRevokeAll(t *testing.T, replicas []*session.Service, u user.User) int {
	const sessions, each = 4, 50
	var mu sync.Mutex
	var got []session.Grant
	var work []func()
	for range sessions {
		g := start(t, replicas[0], u)
		got = append(got, g)
		for i := range each {
			work = append(work, func() {
				next, err := replicas[i%2].Refresh(t.Context(), g.Refresh, session.Client{})
				if err != nil && !errors.Is(err, session.ErrEnded) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, next)
				}
			})
		}
	}
	work = append(work, func() {
		if _, err := replicas[0].RevokeAll(t.Context(), u.ID, token.Secret{}); err != nil {
			t.Error(err)
		}
	})
	rand.Shuffle(len(work), func(i, j int) { work[i], work[j] = work[j], work[i] })
	var racers sync.WaitGroup
	for _, f := range work {
		racers.Go(f)
	}
	racers.Wait()

	if err := replicas[1].LoadEnded(t.Context()); err != nil { // as the listener does, without the wait
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for _, g := range got {
		for _, s := range replicas {
			if _, err := s.Authenticate(g.Access.Reveal()); !errors.Is(err, session.ErrRevoked) {
				t.Errorf("an access token lives: %v", err)
			}
		}
		if text := g.Refresh.Reveal(); !tried[text] { // most of them are one
			tried[text] = true
			if _, err := replicas[1].Refresh(t.Context(), g.Refresh, session.Client{}); !errors.Is(err, session.ErrEnded) {
				t.Errorf("a refresh token lives: %v", err)
			}
		}
	}
	return len(got) - sessions
}

// what counts is the session, not the second in which its tokens were issued.
func TestRevokeAllWithinOneSecond(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		master := newMaster(t)
		u := newUser(t, db, "ada@example.com")
		for together := 0; together < 100; {
			s := newService(t, db, master, policy) // on a busy machine its view would get too old
			second := time.Now().Unix()
			old := start(t, s, u)
			if n, err := s.RevokeAll(t.Context(), u.ID, token.Secret{}); err != nil || n != 1 {
				t.Fatalf("%d, %v", n, err)
			}
			fresh := start(t, s, u)
			if time.Now().Unix() == second {
				together++
			}
			before, errBefore := s.Authenticate(old.Access.Reveal())
			after, errAfter := s.Authenticate(fresh.Access.Reveal())
			if !errors.Is(errBefore, session.ErrRevoked) || errAfter != nil {
				t.Fatalf("old: %+v, %v; new: %+v, %v", before, errBefore, after, errAfter)
			}
			if _, err := s.Refresh(t.Context(), old.Refresh, session.Client{}); !errors.Is(err, session.ErrEnded) {
				t.Fatalf("old: %v", err)
			}
			if _, err := s.Refresh(t.Context(), fresh.Refresh, session.Client{}); err != nil {
				t.Fatalf("new: %v", err)
			}
			if err := s.Logout(t.Context(), fresh.Refresh, session.Principal{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
