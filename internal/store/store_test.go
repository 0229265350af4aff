package store_test

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/session"
	"latchkey/internal/store"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

func newUser(t *testing.T, db *storetest.Database, email string) user.User {
	t.Helper()
	u, err := db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: email, Name: "Ada", Roles: []user.Role{user.RoleUser, user.RoleAdmin}}, "hash-1")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func newSession(t *testing.T, db *storetest.Database, u user.User) token.Refresh {
	t.Helper()
	r := token.NewRefresh(uuid.New())
	if _, _, err := db.CreateSession(t.Context(), session.NewSession{ID: r.SessionID, UserID: u.ID, SecretHash: r.SecretHash(), TTL: 30 * 24 * time.Hour, IdleTTL: idle, Max: 50}); err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	grace = 30 * time.Second
	idle  = 7 * 24 * time.Hour
)

func rotate(t *testing.T, db *storetest.Database, r token.Refresh, generation int64) session.Rotation {
	t.Helper()
	return rotateWith(t, db, r, generation, grace)
}

func rotateWith(t *testing.T, db *storetest.Database, r token.Refresh, generation int64, grace time.Duration) session.Rotation {
	t.Helper()
	out, err := db.RotateSession(t.Context(), session.Rotate{
		SessionID: r.SessionID, SecretHash: r.SecretHash(), Generation: generation, Grace: grace, IdleTTL: idle, MaxRepeats: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUsers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		u := newUser(t, db, "ada@example.com")
		if d := time.Since(u.CreatedAt); d < -time.Minute || d > time.Minute || u.CreatedAt.Location() != time.UTC {
			t.Errorf("created at %v", u.CreatedAt)
		}
		got, err := db.UserByID(t.Context(), u.ID)
		if err != nil || got.Email != u.Email || got.Name != "Ada" || !got.HasRole(user.RoleAdmin) || !got.CreatedAt.Equal(u.CreatedAt) || got.EmailVerified || !got.DisabledAt.IsZero() {
			t.Errorf("by id: %+v, %v", got, err)
		}
		if _, hash, err := db.CredentialByEmail(t.Context(), "ada@example.com"); err != nil || hash != "hash-1" {
			t.Errorf("credential: %q, %v", hash, err)
		}
		if _, err := db.UserByID(t.Context(), uuid.New()); !errors.Is(err, user.ErrNotFound) {
			t.Errorf("unknown id: %v", err)
		}
		if _, err := db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: "ada@example.com"}, "x"); !errors.Is(err, user.ErrEmailTaken) {
			t.Errorf("taken address: %v", err)
		}
		all, err := db.Users(t.Context(), 0, 10)
		if err != nil || len(all) != 1 || all[0].ID != u.ID {
			t.Errorf("list: %v, %v", all, err)
		}
	})
}

func TestRenameUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		u, bob := newUser(t, db, "ada@example.com"), newUser(t, db, "bob@example.com")
		db.Exec(t, "UPDATE users SET updated_at = '2001-02-03 04:05:06+00:00'")
		for _, name := range []string{"Ada Lovelace", "', name = email --", "愛達 👩\u200d💻", ""} {
			u.Name = name
			got, err := db.RenameUser(t.Context(), u.ID, name)
			if err != nil || !reflect.DeepEqual(got, u) {
				t.Errorf("%q: %+v, %v; want %+v", name, got, err, u)
			}
			if read, err := db.UserByID(t.Context(), u.ID); err != nil || !reflect.DeepEqual(read, u) {
				t.Errorf("%q: stored %+v, %v", name, read, err)
			}
		}
		if other, err := db.UserByID(t.Context(), bob.ID); err != nil || !reflect.DeepEqual(other, bob) {
			t.Errorf("another user: %+v, %v", other, err)
		}
		if got, err := db.RenameUser(t.Context(), uuid.New(), "Eve"); !errors.Is(err, user.ErrNotFound) || got.Name != "" {
			t.Errorf("unknown id: %+v, %v", got, err)
		}
		if updated := db.Text(t, "SELECT email FROM users WHERE updated_at >= created_at"); updated != u.Email {
			t.Errorf("updated: %q", updated)
		}
	})
}

// a re-hash must not undo a password change that happened meanwhile.
func TestReplacePasswordHash(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		u := newUser(t, db, "ada@example.com")
		for _, step := range []struct{ old, fresh, want string }{
			{"something else", "hash-2", "hash-1"},
			{"hash-1", "hash-2", "hash-2"},
		} {
			if err := db.ReplacePasswordHash(t.Context(), u.ID, step.old, step.fresh); err != nil {
				t.Fatal(err)
			}
			if _, hash, _ := db.CredentialByEmail(t.Context(), u.Email); hash != step.want {
				t.Errorf("replacing %q: have %q, want %q", step.old, hash, step.want)
			}
		}
	})
}

// one row whoever comes first.
func TestCreateUserRace(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		var created, taken int
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				_, err := db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: "ada@example.com"}, "x")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					created++
				case errors.Is(err, user.ErrEmailTaken):
					taken++
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if created != 1 || taken != 19 {
			t.Errorf("created %d, taken %d", created, taken)
		}
	})
}

// One step of a history: wait, present a generation, expect.
type step struct {
	why     string
	wait    time.Duration
	present int64
	want    session.Outcome
	current int64
}

func TestRotateSession(t *testing.T) {
	histories := map[string]struct {
		grace time.Duration
		steps []step
	}{
		"the first refresh after sign-in rotates at once (R-64)": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
		}},
		"within the grace everybody gets the same successor (R-65, R-66, R-68)": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
			{why: "a second tab with the old token", wait: 10 * time.Second, present: 0, want: session.Repeated, current: 1},
			{why: "the same again", wait: 10 * time.Second, present: 0, want: session.Repeated, current: 1},
			{why: "the new token, too early to rotate", present: 1, want: session.Repeated, current: 1},
			{why: "a late request", wait: 5 * time.Second, present: 0, want: session.Repeated, current: 1},
		}},
		"the grace does not slide with repeats (R-68)": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
			{wait: 25 * time.Second, present: 0, want: session.Repeated, current: 1},
			{wait: 6 * time.Second, present: 0, want: session.Reused, current: 1},
		}},
		"a superseded token after the grace ends the session (R-69)": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
			{wait: time.Minute, present: 1, want: session.Rotated, current: 2},
			{wait: 31 * time.Second, present: 1, want: session.Reused, current: 2},
			{why: "the head is dead too, at once and for good (R-71)", present: 2, want: session.Dead},
			{present: 1, want: session.Dead},
			{wait: 15 * time.Second, present: 2, want: session.Dead},
			{wait: 15 * time.Second, present: 2, want: session.Dead},
		}},
		"an older generation is reuse even within the grace (R-69)": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
			{wait: time.Minute, present: 1, want: session.Rotated, current: 2},
			{present: 0, want: session.Reused, current: 2},
			{present: 2, want: session.Dead},
		}},
		"a token that went out late in its grace rotates a grace later, so that no late answer puts an old one back (R-67)": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
			{why: "handed out at 25 s", wait: 25 * time.Second, present: 0, want: session.Repeated, current: 1},
			{why: "31 s: that answer may still travel", wait: 6 * time.Second, present: 1, want: session.Unchanged, current: 1},
			{why: "50 s", wait: 19 * time.Second, present: 1, want: session.Unchanged, current: 1},
			{why: "56 s: it has arrived", wait: 6 * time.Second, present: 1, want: session.Rotated, current: 2},
		}},
		"a session that is refreshed without pause still rotates after two graces": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
			{wait: 25 * time.Second, present: 1, want: session.Repeated, current: 1},
			{wait: 10 * time.Second, present: 1, want: session.Unchanged, current: 1},
			{wait: 26 * time.Second, present: 1, want: session.Rotated, current: 2},
		}},
		"with grace 0 every refresh rotates and no repeat is forgiven": {0, []step{
			{present: 0, want: session.Rotated, current: 1},
			{present: 1, want: session.Rotated, current: 2},
			{wait: time.Second, present: 1, want: session.Reused, current: 2},
		}},
		"a database that lost its last commits catches up with a genuine token": {grace, []step{
			{present: 0, want: session.Rotated, current: 1},
			{wait: time.Hour, present: 4, want: session.Rotated, current: 5},
			{wait: time.Hour, present: 5, want: session.Rotated, current: 6},
		}},
		"the idle lifetime counts from the last use (R-76)": {grace, []step{
			{wait: 6 * 24 * time.Hour, present: 0, want: session.Rotated, current: 1},
			{wait: 6 * 24 * time.Hour, present: 1, want: session.Rotated, current: 2},
			{wait: 8 * 24 * time.Hour, present: 2, want: session.Dead},
		}},
		"use does not move the absolute end (R-76)": {grace, []step{
			{wait: 6 * 24 * time.Hour, present: 0, want: session.Rotated, current: 1},
			{wait: 6 * 24 * time.Hour, present: 1, want: session.Rotated, current: 2},
			{wait: 6 * 24 * time.Hour, present: 2, want: session.Rotated, current: 3},
			{wait: 6 * 24 * time.Hour, present: 3, want: session.Rotated, current: 4},
			{wait: 5 * 24 * time.Hour, present: 4, want: session.Rotated, current: 5},
			{wait: 2 * 24 * time.Hour, present: 5, want: session.Dead},
		}},
	}
	for why, h := range histories {
		t.Run(why, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *storetest.Database) { play(t, db, h.grace, h.steps) })
		})
	}
}

func play(t *testing.T, db *storetest.Database, grace time.Duration, steps []step) {
	u := newUser(t, db, "ada@example.com")
	r := newSession(t, db, u)
	for i, s := range steps {
		if s.wait > 0 {
			db.Age(t, s.wait)
		}
		got := rotateWith(t, db, r, s.present, grace)
		if got.Outcome != s.want || (s.want != session.Dead && got.Generation != s.current) {
			t.Fatalf("step %d (%s): outcome %d, generation %d, reason %q; want %d, %d", i+1, s.why, got.Outcome, got.Generation, got.Reason, s.want, s.current)
		}
		if alive := got.Outcome <= session.Unchanged; alive && (got.User.Email != u.Email || len(got.User.Roles) != 2 || got.TTL <= 0) {
			t.Fatalf("step %d: a refresh needs the user and the time left: %+v", i+1, got)
		}
	}
}

// a loop gets no further, and the session survives it.
func TestRotateSessionRepeatsWithoutEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		r := newSession(t, db, newUser(t, db, "ada@example.com"))
		rotate(t, db, r, 0)
		db.Exec(t, "UPDATE sessions SET repeats = 99")
		if got := rotate(t, db, r, 1); got.Outcome != session.Repeated {
			t.Fatalf("repeat 100: %d", got.Outcome)
		}
		got := rotate(t, db, r, 1)
		if got.Outcome != session.Throttled || got.Wait <= 0 || got.Wait > grace {
			t.Fatalf("repeat 101: outcome %d, wait %v", got.Outcome, got.Wait)
		}
		// Whoever holds the predecessor must learn of the current token within the grace.
		if got := rotate(t, db, r, 0); got.Outcome != session.Repeated || got.Generation != 1 {
			t.Fatalf("the predecessor: outcome %d, generation %d", got.Outcome, got.Generation)
		}
		db.Age(t, grace+time.Second)
		if got := rotate(t, db, r, 1); got.Outcome != session.Rotated {
			t.Fatalf("after the wait: %d", got.Outcome)
		}
	})
}

// why a session is not there is told to the log alone.
func TestRotateSessionDead(t *testing.T) {
	tests := map[string]struct {
		spoil func(t *testing.T, db *storetest.Database, r *token.Refresh)
		want  session.EndReason
	}{
		"a session that never was":   {func(_ *testing.T, _ *storetest.Database, r *token.Refresh) { r.SessionID = uuid.New() }, session.TokenUnknown},
		"a right id, a wrong secret": {func(_ *testing.T, _ *storetest.Database, r *token.Refresh) { r.Random[0] ^= 1 }, session.TokenUnknown},
		"a session that was ended": {func(t *testing.T, db *storetest.Database, r *token.Refresh) {
			if alive, err := db.EndSession(t.Context(), r.SessionID, session.EndedByLogout); !alive || err != nil {
				t.Fatal(alive, err)
			}
		}, session.EndedByLogout},
		"a user who was disabled": {func(t *testing.T, db *storetest.Database, _ *token.Refresh) {
			db.Exec(t, "UPDATE users SET disabled_at = created_at")
		}, session.EndedByDisabling},
		"unused for too long": {func(t *testing.T, db *storetest.Database, _ *token.Refresh) { db.Age(t, idle+time.Second) }, session.EndedByIdle},
		"past its absolute end": {func(t *testing.T, db *storetest.Database, _ *token.Refresh) {
			db.Exec(t, "UPDATE sessions SET expires_at = created_at")
		}, session.EndedByAge},
	}
	for why, test := range tests {
		t.Run(why, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *storetest.Database) {
				r := newSession(t, db, newUser(t, db, "ada@example.com"))
				presented := r
				test.spoil(t, db, &presented)
				if got := rotate(t, db, presented, 0); got.Outcome != session.Dead || got.Reason != test.want {
					t.Errorf("outcome %d, reason %q; want %q", got.Outcome, got.Reason, test.want)
				}
				if test.want == session.TokenUnknown {
					if got := rotate(t, db, r, 0); got.Outcome != session.Rotated {
						t.Errorf("the real session was harmed: outcome %d", got.Outcome)
					}
				}
			})
		})
	}
}

func TestEndAndDeleteSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		ada, bob := newUser(t, db, "ada@example.com"), newUser(t, db, "bob@example.com")
		first, second, other := newSession(t, db, ada), newSession(t, db, ada), newSession(t, db, bob)
		third := newSession(t, db, ada)
		db.Exec(t, "UPDATE sessions SET last_used_at = '2020-01-01 00:00:00+00:00' WHERE id = '"+third.SessionID.String()+"'")
		if ids, alive, err := db.EndSessionsOf(t.Context(), ada.ID, session.EndedByRevokeAll, idle); err != nil || len(ids) != 3 || alive != 2 {
			t.Fatalf("ended %v, %d alive, %v", ids, alive, err)
		}
		if alive, err := db.EndSession(t.Context(), first.SessionID, session.EndedByLogout); alive || err != nil {
			t.Errorf("ending twice: %v, %v", alive, err)
		}
		if got := rotate(t, db, other, 0); got.Outcome != session.Rotated {
			t.Errorf("another user's session was touched (R-72): %d", got.Outcome)
		}
		if ids, err := db.EndedSessions(t.Context(), token.MaxAccessLife); err != nil || len(ids) != 3 {
			t.Errorf("ended lately: %v, %v", ids, err)
		}
		db.Age(t, token.MaxAccessLife+time.Minute)
		if ids, _ := db.EndedSessions(t.Context(), token.MaxAccessLife); len(ids) != 0 {
			t.Errorf("no access token of theirs can be alive (R-89): %v", ids)
		}
		db.Age(t, 24*time.Hour)
		for _, want := range []int{1, 1, 1, 0} {
			if n, err := db.DeleteDeadSessions(t.Context(), 24*time.Hour, 1); n != want || err != nil {
				t.Errorf("deleted %d, %v; want %d", n, err, want)
			}
		}
		if got := rotate(t, db, second, 0); got.Reason != session.TokenUnknown {
			t.Errorf("reason %q", got.Reason)
		}
		db.Age(t, 40*24*time.Hour)
		if n, err := db.DeleteDeadSessions(t.Context(), 24*time.Hour, 10); n != 1 || err != nil {
			t.Errorf("past its absolute end: deleted %d, %v", n, err)
		}
	})
}

// the browser's old session ends with the start of the new one.
func TestCreateSessionReplaces(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		u := newUser(t, db, "ada@example.com")
		old, fresh := newSession(t, db, u), token.NewRefresh(uuid.New())
		if _, _, err := db.CreateSession(t.Context(), session.NewSession{ID: fresh.SessionID, UserID: u.ID, SecretHash: fresh.SecretHash(), TTL: time.Hour, Replaces: old.SessionID}); err != nil {
			t.Fatal(err)
		}
		if got := rotate(t, db, old, 0); got.Reason != session.EndedByNewLogin {
			t.Errorf("the old session: %q", got.Reason)
		}
		if got := rotate(t, db, fresh, 0); got.Outcome != session.Rotated {
			t.Errorf("the new session: %d", got.Outcome)
		}
	})
}

func TestMigrations(t *testing.T) {
	for _, engine := range storetest.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			db := storetest.Empty(t, engine)
			steps, err := db.Migrate(t.Context())
			if err != nil || len(steps) == 0 {
				t.Fatal(steps, err)
			}
			for range steps {
				if undone, err := db.Rollback(t.Context()); err != nil || undone.Name == "" {
					t.Fatal(undone, err)
				}
			}
			if undone, err := db.Rollback(t.Context()); err != nil || undone.Name != "" {
				t.Errorf("nothing is left to undo: %v, %v", undone, err)
			}
			if again, err := db.Migrate(t.Context()); err != nil || len(again) != len(steps) {
				t.Errorf("up again: %v, %v", again, err)
			}
			db.Exec(t, "INSERT INTO bun_migrations (name, group_id, migrated_at) VALUES ('29991231000000', 9, '2999-12-31 00:00:00+00:00')")
			if _, err := db.Migrate(t.Context()); !errors.Is(err, store.ErrNewerDatabase) {
				t.Errorf("a newer database: %v", err)
			}
		})
	}
}

// A process that dies between a step and the note of it must not block every later start.
func TestMigrationsSurviveALostNote(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		newUser(t, db, "ada@example.com")
		db.Exec(t, "DELETE FROM bun_migrations")
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := db.CredentialByEmail(t.Context(), "ada@example.com"); err != nil {
			t.Error(err)
		}
	})
}

// The file holds password hashes.
func TestSQLiteFileMode(t *testing.T) {
	db := storetest.New(t, "sqlite")
	newUser(t, db, "ada@example.com")
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(db.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", info.Name(), info.Mode())
		}
	}
}

func TestErrorsHoldNoPassword(t *testing.T) {
	for _, url := range []string{"postgres://ada:CANARY@127.0.0.1:1/x?connect_timeout=1", "postgres://ada:CANARY@[", "postgres://ada:CANARY@h/x?sslmode=no"} {
		if _, err := store.OpenPostgres(t.Context(), url); err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%v", err)
		}
	}
}
