package store_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// sessionOf is a session to be stored, for a user who may have so many.
func sessionOf(u user.User, most int) session.NewSession {
	r := token.NewRefresh(uuid.New())
	return session.NewSession{ID: r.SessionID, UserID: u.ID, SecretHash: r.SecretHash(), TTL: 30 * 24 * time.Hour, IdleTTL: idle, Max: most}
}

func create(t *testing.T, db *storetest.Database, n session.NewSession) (uuid.UUID, []uuid.UUID) {
	t.Helper()
	_, tooMany, err := db.CreateSession(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return n.ID, tooMany
}

func live(t *testing.T, db *storetest.Database, u user.User) []uuid.UUID {
	t.Helper()
	list, err := db.LiveSessions(t.Context(), u.ID, idle)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]uuid.UUID, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	return ids
}

// one's living sessions and nobody else's, the last used first, with what tells them apart.
func TestLiveSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		ada, bob := newUser(t, db, "ada@example.com"), newUser(t, db, "bob@example.com")
		newSession(t, db, bob)
		for why, spoil := range map[string]string{
			"ended":                    "ended_at = created_at, end_reason = 'logout'",
			"past its absolute end":    "expires_at = created_at",
			"not used for a long time": "last_used_at = '2020-01-01 00:00:00+00:00'",
		} {
			dead := newSession(t, db, ada)
			db.Exec(t, "UPDATE sessions SET "+spoil+" WHERE id = '"+dead.SessionID.String()+"'")
			if slices.Contains(live(t, db, ada), dead.SessionID) {
				t.Errorf("%s: it is listed", why)
			}
			if ended, err := db.EndOwnSession(t.Context(), ada.ID, dead.SessionID, session.EndedByOwner, idle); ended || err != nil {
				t.Errorf("%s: it ends (again): %t, %v", why, ended, err)
			}
		}
		n := sessionOf(ada, 50)
		n.Client = session.Client{Address: netip.MustParseAddr("2001:db8::1"), UserAgent: "an old browser"}
		first, _ := create(t, db, n)
		db.Age(t, time.Hour)
		second := newSession(t, db, ada)
		list, err := db.LiveSessions(t.Context(), ada.ID, idle)
		if err != nil || len(list) != 2 || list[0].ID != second.SessionID || list[1].ID != first {
			t.Fatalf("%+v, %v", list, err)
		}
		if list[0].Client.Address.IsValid() || list[0].Client.UserAgent != "" {
			t.Errorf("out of nothing: %+v", list[0].Client)
		}
		s := list[1]
		if s.Client != n.Client || !s.CreatedAt.Equal(s.LastUsedAt) || s.ExpiresAt.Sub(s.CreatedAt) != n.TTL || s.CreatedAt.Location() != time.UTC {
			t.Errorf("%+v", s)
		}
		if d := time.Since(s.CreatedAt); d < 59*time.Minute || d > 61*time.Minute {
			t.Errorf("created %v ago", d)
		}
	})
}

// A list of devices shows where each was last seen: at its newest rotation.
func TestRotationKeepsTheClient(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		ada := newUser(t, db, "ada@example.com")
		r := newSession(t, db, ada)
		home, train := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
		for _, step := range []struct {
			why        string
			generation int64
			client     session.Client
			want       session.Client
			wait       time.Duration
		}{
			{"a rotation", 0, session.Client{Address: home, UserAgent: "one"}, session.Client{Address: home, UserAgent: "one"}, 0},
			{"a repeat within the grace says nothing new", 0, session.Client{Address: train, UserAgent: "two"}, session.Client{Address: home, UserAgent: "one"}, 2 * grace},
			{"the next rotation", 1, session.Client{Address: train, UserAgent: "two"}, session.Client{Address: train, UserAgent: "two"}, 2 * grace},
			{"one that tells nothing", 2, session.Client{}, session.Client{Address: train, UserAgent: "two"}, 0},
		} {
			if _, err := db.RotateSession(t.Context(), session.Rotate{
				SessionID: r.SessionID, SecretHash: r.SecretHash(), Generation: step.generation, Grace: grace, IdleTTL: idle, MaxRepeats: 100, Client: step.client,
			}); err != nil {
				t.Fatal(err)
			}
			if list, err := db.LiveSessions(t.Context(), ada.ID, idle); err != nil || list[0].Client != step.want {
				t.Errorf("%s: %+v, %v", step.why, list, err)
			}
			db.Age(t, step.wait)
		}
	})
}

// the cap ends what was used least recently, and only of that user.
func TestCreateSessionKeepsToTheCap(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		ada, bob := newUser(t, db, "ada@example.com"), newUser(t, db, "bob@example.com")
		others, _ := create(t, db, sessionOf(bob, 3))
		var ids []uuid.UUID
		for range 3 {
			id, tooMany := create(t, db, sessionOf(ada, 3))
			if len(tooMany) != 0 {
				t.Fatalf("ended %v", tooMany)
			}
			ids = append(ids, id)
			db.Age(t, time.Minute)
		}
		db.Exec(t, "UPDATE sessions SET last_used_at = expires_at WHERE id = '"+ids[0].String()+"'") // the oldest, but the last used
		fourth, tooMany := create(t, db, sessionOf(ada, 3))
		if !slices.Equal(tooMany, ids[1:2]) {
			t.Errorf("ended %v, not %v", tooMany, ids[1])
		}
		if reason := db.Text(t, "SELECT end_reason FROM sessions WHERE id = '"+ids[1].String()+"'"); reason != "cap" {
			t.Errorf("reason %q", reason)
		}
		fifth, tooMany := create(t, db, sessionOf(ada, 1))
		if len(tooMany) != 3 || slices.Contains(tooMany, fifth) || !slices.Contains(tooMany, fourth) {
			t.Errorf("a lower cap ended %v", tooMany)
		}
		n := sessionOf(ada, 1)
		n.Replaces = fifth
		if _, tooMany = create(t, db, n); len(tooMany) != 0 {
			t.Errorf("a session that makes room itself: ended %v", tooMany)
		}
		if got := live(t, db, bob); !slices.Equal(got, []uuid.UUID{others}) {
			t.Errorf("another user's: %v", got)
		}
		n = sessionOf(ada, 0)
		if _, tooMany = create(t, db, n); len(tooMany) != 1 {
			t.Errorf("no cap at all is the lowest: ended %v", tooMany)
		}
	})
}

// sign-ins that race do not get past the cap together, and none is ended by itself.
func TestCapUnderARace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		ada := newUser(t, db, "ada@example.com")
		var mu sync.Mutex
		var ended []uuid.UUID
		var group sync.WaitGroup
		for range 40 {
			group.Go(func() {
				n := sessionOf(ada, 5)
				_, tooMany, err := db.CreateSession(t.Context(), n)
				if err != nil || slices.Contains(tooMany, n.ID) {
					t.Errorf("%v, %v", tooMany, err)
				}
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, tooMany...)
			})
		}
		group.Wait()
		if got := live(t, db, ada); len(got) != 5 || len(ended) != 35 {
			t.Errorf("%d living, %d ended", len(got), len(ended))
		}
	})
}

// a disabled user has no session, gets none, and is told apart from one who is not.
func TestDisableUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		ada, bob := newUser(t, db, "ada@example.com"), newUser(t, db, "bob@example.com")
		first, second, other := newSession(t, db, ada), newSession(t, db, ada), newSession(t, db, bob)
		u, ended, err := db.DisableUser(t.Context(), ada.Email)
		if err != nil || ended != 2 || u.ID != ada.ID || !u.Disabled() {
			t.Fatalf("%+v, %d, %v", u, ended, err)
		}
		for _, r := range []token.Refresh{first, second} {
			if got := rotate(t, db, r, 0); got.Reason != session.EndedByDisabling {
				t.Errorf("reason %q", got.Reason)
			}
		}
		if got := rotate(t, db, other, 0); got.Outcome != session.Rotated {
			t.Errorf("another user's session: %d", got.Outcome)
		}
		if ids, err := db.EndedSessions(t.Context(), token.MaxAccessLife); err != nil || len(ids) != 2 {
			t.Errorf("told to the replicas: %v, %v", ids, err)
		}
		if _, _, err := db.CreateSession(t.Context(), sessionOf(ada, 50)); !errors.Is(err, session.ErrDisabled) {
			t.Errorf("a new session: %v", err)
		}
		since := u.DisabledAt
		if u, ended, err = db.DisableUser(t.Context(), ada.Email); err != nil || ended != 0 || !u.DisabledAt.Equal(since) {
			t.Errorf("again: %+v, %d, %v", u, ended, err)
		}
		if u, err := db.EnableUser(t.Context(), ada.Email); err != nil || u.ID != ada.ID || u.Disabled() {
			t.Errorf("enabled: %+v, %v", u, err)
		}
		if got := rotate(t, db, first, 0); got.Outcome != session.Dead {
			t.Errorf("an old session is back: %d", got.Outcome)
		}
		newSession(t, db, ada)
		if _, _, err := db.DisableUser(t.Context(), "nobody@example.com"); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
		if _, err := db.EnableUser(t.Context(), "nobody@example.com"); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("nobody: %v", err)
		}
	})
}

// whichever way sign-ins and the disabling of their user race, no session outlives both.
func TestDisablingUnderARace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		for range 10 {
			u := newUser(t, db, uuid.NewString()+"@example.com")
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					if _, _, err := db.CreateSession(t.Context(), sessionOf(u, 50)); err != nil && !errors.Is(err, session.ErrDisabled) {
						t.Error(err)
					}
				})
			}
			group.Go(func() {
				if _, _, err := db.DisableUser(t.Context(), u.Email); err != nil {
					t.Error(err)
				}
			})
			group.Wait()
			if got := live(t, db, u); len(got) != 0 {
				t.Fatalf("living: %v", got)
			}
		}
	})
}

// Acts that end several sessions of one user wait for each other and do not lock each other out.
func TestEndsDoNotDeadlock(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		ada := newUser(t, db, "ada@example.com")
		for range 10 {
			var ids []uuid.UUID
			for range 8 {
				id, _ := create(t, db, sessionOf(ada, 50))
				ids = append(ids, id)
			}
			var group sync.WaitGroup
			for i := range 4 {
				group.Go(func() {
					n := sessionOf(ada, 1)
					n.Replaces = ids[len(ids)-1-i]
					if _, _, err := db.CreateSession(t.Context(), n); err != nil {
						t.Error(err)
					}
				})
				group.Go(func() {
					if _, _, err := db.EndSessionsOf(t.Context(), ada.ID, session.EndedByRevokeAll, idle); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
		}
	})
}

// Two users who sign in at the cap, each in the browser of the other, do not wait for each other.
func TestSwappedBrowsersDoNotDeadlock(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		users := []user.User{newUser(t, db, "ada@example.com"), newUser(t, db, "eve@example.com")}
		for range 20 {
			var old []uuid.UUID
			for _, u := range users {
				id, _ := create(t, db, sessionOf(u, 1))
				old = append(old, id)
			}
			var group sync.WaitGroup
			for i, u := range users {
				group.Go(func() {
					n := sessionOf(u, 1)
					n.Replaces = old[1-i]
					if _, _, err := db.CreateSession(t.Context(), n); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
		}
		id, _ := create(t, db, sessionOf(users[0], 50))
		n := sessionOf(users[1], 50)
		n.Replaces = id
		create(t, db, n)
		if ended, err := db.EndSession(t.Context(), id, session.EndedByLogout); err != nil || ended {
			t.Fatalf("the session that the browser had before lives: %v", err)
		}
	})
}

// an end that is not committed has not happened, and nobody is told of it; whatever ends
// the session.
func TestRollbackTellsNothing(t *testing.T) {
	if !slices.Contains(storetest.Engines(), "postgres") {
		t.Skip("needs Postgres: make test")
	}
	t.Parallel()
	db := storetest.New(t, "postgres")
	ada := newUser(t, db, "ada@example.com")
	kept, reused := newSession(t, db, ada), newSession(t, db, ada)
	rotate(t, db, reused, 0)
	db.Age(t, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	listening, told, done := make(chan struct{}), make(chan uuid.UUID, 100), make(chan struct{})
	go func() {
		defer close(done)
		_ = db.ListenEnded(ctx, func() { close(listening) }, func(id uuid.UUID) { told <- id })
	}()
	<-listening
	// Every commit that ended something fails.
	db.Exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no commit'; END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON sessions DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION refuse()`)
	replaces := sessionOf(ada, 50)
	replaces.Replaces = kept.SessionID
	for why, act := range map[string]func() error{
		"logout": func() error { _, err := db.EndSession(t.Context(), kept.SessionID, session.EndedByLogout); return err },
		"revokeSession": func() error {
			_, err := db.EndOwnSession(t.Context(), ada.ID, kept.SessionID, session.EndedByOwner, idle)
			return err
		},
		"revokeAll": func() error {
			_, _, err := db.EndSessionsOf(t.Context(), ada.ID, session.EndedByRevokeAll, idle)
			return err
		},
		"a new login": func() error { _, _, err := db.CreateSession(t.Context(), replaces); return err },
		"the cap":     func() error { _, _, err := db.CreateSession(t.Context(), sessionOf(ada, 1)); return err },
		"disabling":   func() error { _, _, err := db.DisableUser(t.Context(), ada.Email); return err },
		"reuse": func() error {
			_, err := db.RotateSession(t.Context(), session.Rotate{SessionID: reused.SessionID, SecretHash: reused.SecretHash(), Grace: grace, IdleTTL: idle, MaxRepeats: 100})
			return err
		},
	} {
		if err := act(); err == nil || !strings.Contains(err.Error(), "no commit") {
			t.Errorf("%s: %v", why, err)
		}
	}
	if got := live(t, db, ada); len(got) != 2 {
		t.Errorf("living: %v", got)
	}
	if u, err := db.UserByID(t.Context(), ada.ID); err != nil || u.Disabled() {
		t.Errorf("%+v, %v", u, err)
	}
	db.Exec(t, "DROP TRIGGER refuse ON sessions")
	if _, err := db.EndSession(t.Context(), kept.SessionID, session.EndedByLogout); err != nil {
		t.Fatal(err)
	}
	// Notifications come in the order of their commits: the first one is of the first commit.
	if id := <-told; id != kept.SessionID {
		t.Errorf("told of %v", id)
	}
	cancel()
	<-done
	if len(told) > 0 {
		t.Errorf("told of %v", <-told)
	}
}
