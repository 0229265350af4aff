package session_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

type unlimited struct{}

func (unlimited) Reserve(context.Context, ...ratelimit.Charge) (*ratelimit.Reservation, error) {
	return nil, nil
}

// limited starts a session for Ada in a service with these limits.
func limited(t *testing.T, db *storetest.Database, limits ratelimit.Limits) (*session.Service, session.Grant) {
	t.Helper()
	limiter, err := ratelimit.New(make([]byte, 32), nil, ratelimit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := newLimitedService(t, db, newMaster(t), limiter, session.Config{
		Grace: 30 * time.Second, IdleTTL: time.Hour, TTL: time.Hour, Limits: limits,
	})
	u, err := db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: "ada@example.com"}, "")
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Start(t.Context(), u, session.Client{}, token.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	return s, g
}

func isLimited(err error, bucket string) bool {
	var limit *ratelimit.Error
	return errors.As(err, &limit) && limit.Bucket == bucket
}

// R-42, bucket B11: a session pays for its own refreshes; to be refused costs it nothing.
func TestRefreshIsLimitedBySession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		s, g := limited(t, db, ratelimit.Limits{
			ratelimit.RefreshSession: {Limit: 3, Period: time.Second}, ratelimit.RefreshInvalid: {Limit: 1, Period: time.Hour},
		})
		began := time.Now()
		for range 3 {
			if _, err := s.Refresh(t.Context(), g.Refresh, session.Client{}); err != nil {
				t.Fatal(err)
			}
		}
		generation := db.Text(t, "SELECT generation, repeats FROM sessions")
		_, err := s.Refresh(t.Context(), g.Refresh, session.Client{})
		if time.Since(began) < time.Second && !isLimited(err, ratelimit.RefreshSession) {
			t.Fatal(err)
		}
		if time.Since(began) < time.Second && db.Text(t, "SELECT generation, repeats FROM sessions") != generation {
			t.Error("a refused refresh reached the session")
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err = s.Refresh(t.Context(), g.Refresh, session.Client{}); err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			t.Fatalf("the session did not survive: %v", err)
		}
	})
}

// R-42, bucket B11: forged tokens are limited by address, and genuine ones from there are not.
func TestForgedRefreshIsLimitedByAddress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		s, g := limited(t, db, ratelimit.Limits{
			ratelimit.RefreshSession: {Limit: 100, Period: time.Hour}, ratelimit.RefreshInvalid: {Limit: 3, Period: time.Hour},
		})
		here := session.Client{Address: netip.MustParseAddr("2001:db8::1")}
		neighbour := session.Client{Address: netip.MustParseAddr("2001:db8::2")}
		forged := token.NewSecret(strings.Repeat("A", len(g.Refresh.Reveal())))
		for range 3 {
			if _, err := s.Refresh(t.Context(), forged, here); !errors.Is(err, session.ErrEnded) {
				t.Fatal(err)
			}
		}
		for range 3 {
			if _, err := s.Refresh(t.Context(), forged, neighbour); !isLimited(err, ratelimit.RefreshInvalid) {
				t.Fatal(err)
			}
		}
		if _, err := s.Refresh(t.Context(), g.Refresh, here); err != nil {
			t.Error(err)
		}
		for range 10 { // to have no token is no forgery: every first visit of a page asks
			if _, err := s.Refresh(t.Context(), token.Secret{}, here); !errors.Is(err, session.ErrEnded) {
				t.Fatal(err)
			}
		}
		if _, err := s.Refresh(t.Context(), forged, session.Client{Address: netip.MustParseAddr("192.0.2.1")}); !errors.Is(err, session.ErrEnded) {
			t.Error(err)
		}
	})
}

// Who holds a session is told by its token alone.
func TestHolder(t *testing.T) {
	db := storetest.New(t, "sqlite")
	s, g := limited(t, db, nil)
	if s.Holder(g.Refresh) != g.SessionID {
		t.Error("the holder of a session is not known")
	}
	for _, text := range []string{"", "x", g.Access.Reveal(), g.Refresh.Reveal()[1:] + "A"} {
		if id := s.Holder(token.NewSecret(text)); id != uuid.Nil {
			t.Errorf("%q holds %v", text, id)
		}
	}
}
