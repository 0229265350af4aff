package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

// every way in which a session ends is told, with its commit; a refresh tells nothing.
func TestListenEnded(t *testing.T) {
	if !slices.Contains(storetest.Engines(), "postgres") {
		t.Skip("needs Postgres: make test")
	}
	t.Parallel()
	db := storetest.New(t, "postgres")
	u := newUser(t, db, "ada@example.com")
	ctx, cancel := context.WithCancel(t.Context())
	listening, told, done := make(chan struct{}), make(chan uuid.UUID, 100), make(chan error, 1)
	go func() {
		done <- db.ListenEnded(ctx, func() { close(listening) }, func(id uuid.UUID) { told <- id })
	}()
	<-listening
	next := func() uuid.UUID {
		select {
		case id := <-told:
			return id
		case <-time.After(20 * time.Second):
			return uuid.Nil
		}
	}
	refreshed, reused := newSession(t, db, u), newSession(t, db, u)
	rotate(t, db, refreshed, 0)
	rotate(t, db, refreshed, 0)
	rotate(t, db, reused, 0)
	db.Age(t, time.Minute)
	rotate(t, db, reused, 0)
	if got := next(); got != reused.SessionID {
		t.Fatalf("reuse: told of %v", got)
	}
	left := newSession(t, db, u)
	if _, err := db.EndSession(ctx, left.SessionID, session.EndedByLogout); err != nil || next() != left.SessionID {
		t.Fatalf("logout was not told: %v", err)
	}
	replaced, fresh := newSession(t, db, u), token.NewRefresh(uuid.New())
	n := session.NewSession{ID: fresh.SessionID, UserID: u.ID, SecretHash: fresh.SecretHash(), TTL: time.Hour, IdleTTL: idle, Max: 50, Replaces: replaced.SessionID}
	if _, _, err := db.CreateSession(ctx, n); err != nil || next() != replaced.SessionID {
		t.Fatalf("a new login was not told: %v", err)
	}
	// What is rolled back did not happen: this insert fails, after the end of a living session.
	n.Replaces = refreshed.SessionID
	if _, _, err := db.CreateSession(ctx, n); err == nil {
		t.Fatal("one id twice")
	}
	if _, _, err := db.EndSessionsOf(ctx, u.ID, session.EndedByRevokeAll, idle); err != nil {
		t.Fatal(err)
	}
	got := []uuid.UUID{next(), next()}
	for _, want := range []uuid.UUID{refreshed.SessionID, fresh.SessionID} {
		if !slices.Contains(got, want) {
			t.Errorf("revokeAll: told of %v, not of %v", got, want)
		}
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("it returns with an error, always")
	}
	if len(told) != 0 {
		t.Errorf("told of more than ended: %v", <-told)
	}
}

// A connection that is cut off is an error, so that somebody listens again.
func TestListenEndedTellsOfABrokenConnection(t *testing.T) {
	if !slices.Contains(storetest.Engines(), "postgres") {
		t.Skip("needs Postgres: make test")
	}
	t.Parallel()
	db := storetest.New(t, "postgres")
	listening, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- db.ListenEnded(t.Context(), func() { close(listening) }, func(uuid.UUID) {}) }()
	<-listening
	db.Text(t, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
	if err := <-done; err == nil {
		t.Error("no error")
	}
}
