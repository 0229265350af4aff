package session_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

var policy = session.Config{Grace: 30 * time.Second, IdleTTL: 7 * 24 * time.Hour, TTL: 30 * 24 * time.Hour, Max: 50}

func newMaster(t *testing.T) token.Master {
	t.Helper()
	m, err := token.ParseMaster(token.GenerateMaster().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newUser(t *testing.T, db *storetest.Database, email string) user.User {
	t.Helper()
	u, err := db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: email, Roles: []user.Role{user.RoleUser}}, "")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func start(t *testing.T, s *session.Service, u user.User) session.Grant {
	t.Helper()
	g, err := s.Start(t.Context(), u, session.Client{}, token.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestStartAuthenticateRefresh(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		s := newService(t, db, newMaster(t), policy)
		u := newUser(t, db, "ada@example.com")
		first := start(t, s, u)
		p, err := s.Authenticate(first.Access.Reveal())
		if err != nil || p.UserID != u.ID || p.SessionID != first.SessionID || len(p.Roles) != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
		second, err := s.Refresh(t.Context(), first.Refresh, session.Client{})
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Refresh(t.Context(), first.Refresh, session.Client{})
		if err != nil {
			t.Fatal(err)
		}
		if second.Refresh.Equal(first.Refresh) || !second.Refresh.Equal(again.Refresh) {
			t.Error("a refresh must rotate, and a repeat must get the very same successor (R-65)")
		}
		p2, err := s.Authenticate(second.Access.Reveal())
		if err != nil || p2.SessionID != p.SessionID || !p2.AuthTime.Equal(p.AuthTime) {
			t.Errorf("sid and auth_time must not move with a refresh (R-52): %+v, %v", p2, err)
		}
	})
}

// what ended is refused at once, what begins in the same second is not.
func TestEndedSessionsAreRefused(t *testing.T) {
	ends := map[string]func(s *session.Service, g session.Grant) error{
		"logout by refresh token": func(s *session.Service, g session.Grant) error {
			return s.Logout(context.Background(), g.Refresh, session.Principal{})
		},
		"logout by access token": func(s *session.Service, g session.Grant) error {
			p, err := s.Authenticate(g.Access.Reveal())
			return errors.Join(err, s.Logout(context.Background(), token.Secret{}, p))
		},
		"revokeAll": func(s *session.Service, g session.Grant) error {
			_, err := s.RevokeAll(context.Background(), g.User.ID, token.Secret{})
			return err
		},
		"signing in again in the same browser (R-22)": func(s *session.Service, g session.Grant) error {
			_, err := s.Start(context.Background(), g.User, session.Client{}, g.Refresh)
			return err
		},
	}
	for why, end := range ends {
		t.Run(why, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *storetest.Database) {
				master := newMaster(t)
				s := newService(t, db, master, policy)
				g := start(t, s, newUser(t, db, "ada@example.com"))
				if err := end(s, g); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Authenticate(g.Access.Reveal()); !errors.Is(err, session.ErrRevoked) {
					t.Errorf("access token: %v", err)
				}
				if _, err := s.Refresh(t.Context(), g.Refresh, session.Client{}); !errors.Is(err, session.ErrEnded) {
					t.Errorf("refresh token: %v", err)
				}
				if _, err := s.Authenticate(start(t, s, g.User).Access.Reveal()); err != nil {
					t.Errorf("a new session in the same second: %v", err)
				}
				restarted := newService(t, db, master, policy)
				if _, err := restarted.Authenticate(g.Access.Reveal()); !errors.Is(err, session.ErrRevoked) {
					t.Errorf("after a restart: %v", err)
				}
			})
		})
	}
}

// reuse ends that session, committed although the caller gets an error.
func TestReuse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		s := newService(t, db, newMaster(t), policy)
		u := newUser(t, db, "ada@example.com")
		g, other := start(t, s, u), start(t, s, u)
		next, err := s.Refresh(t.Context(), g.Refresh, session.Client{})
		if err != nil {
			t.Fatal(err)
		}
		db.Age(t, 31*time.Second)
		var ended *session.EndedError
		if _, err := s.Refresh(t.Context(), g.Refresh, session.Client{}); !errors.As(err, &ended) || ended.Reason != session.EndedByReuse {
			t.Fatalf("reuse: %v", err)
		}
		if reason := db.Text(t, "SELECT end_reason FROM sessions WHERE ended_at IS NOT NULL"); reason != "reuse" {
			t.Errorf("not committed: %q", reason)
		}
		if _, err := s.Refresh(t.Context(), next.Refresh, session.Client{}); !errors.Is(err, session.ErrEnded) {
			t.Errorf("the head: %v", err)
		}
		if _, err := s.Authenticate(next.Access.Reveal()); !errors.Is(err, session.ErrRevoked) {
			t.Errorf("its access token: %v", err)
		}
		if _, err := s.Refresh(t.Context(), other.Refresh, session.Client{}); err != nil {
			t.Errorf("the user's other session: %v", err)
		}
	})
}

// what is not a refresh token of ours ends nothing and is told nothing.
func TestRefreshRefusesWhatIsNotARefreshToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		s := newService(t, db, newMaster(t), policy)
		g := start(t, s, newUser(t, db, "ada@example.com"))
		foreign := token.NewRefreshCodec(newMaster(t)).Encode(token.NewRefresh(g.SessionID))
		for why, presented := range map[string]token.Secret{
			"nothing": {}, "an access token": g.Access, "a token of another installation": foreign, "noise": token.NewSecret("x"),
		} {
			if _, err := s.Refresh(t.Context(), presented, session.Client{}); !errors.Is(err, session.ErrEnded) {
				t.Errorf("%s: %v", why, err)
			}
			if err := s.Logout(t.Context(), presented, session.Principal{}); err != nil {
				t.Errorf("logout with %s must succeed (R-93): %v", why, err)
			}
		}
		if _, err := s.Authenticate(g.Refresh.Reveal()); !errors.Is(err, token.ErrAccessInvalid) {
			t.Errorf("a refresh token as Bearer: %v", err)
		}
		if _, err := s.Refresh(t.Context(), g.Refresh, session.Client{}); err != nil {
			t.Errorf("the session was harmed: %v", err)
		}
	})
}

// whoever has a copy of the database has no token, not even with the key of the tags.
func TestDatabaseHoldsNothingToPresent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		master := newMaster(t)
		s, codec := newService(t, db, master, policy), token.NewRefreshCodec(master)
		g, err := s.Refresh(t.Context(), start(t, s, newUser(t, db, "ada@example.com")).Refresh, session.Client{})
		if err != nil {
			t.Fatal(err)
		}
		values := db.Values(t)
		if !slices.Contains(values, g.SessionID.String()) {
			t.Fatalf("not all of the database: %q", values)
		}
		for _, value := range values {
			forged := []token.Secret{token.NewSecret(value), token.NewSecret(base64.RawURLEncoding.EncodeToString([]byte(value)))}
			for generation := range int64(3) {
				r := token.Refresh{SessionID: g.SessionID, Generation: generation}
				copy(r.Random[:], value)
				forged = append(forged, codec.Encode(r))
			}
			for _, secret := range forged {
				if _, err := s.Refresh(t.Context(), secret, session.Client{}); !errors.Is(err, session.ErrEnded) {
					t.Errorf("%q refreshes: %v", value, err)
				}
				if _, err := s.Authenticate(secret.Reveal()); err == nil {
					t.Errorf("%q is an access token", value)
				}
			}
		}
		if _, err := s.Refresh(t.Context(), g.Refresh, session.Client{}); err != nil {
			t.Errorf("the owner's own: %v", err)
		}
	})
}

// A database that is away must not sign anybody out.
func TestOutageIsNotAnEnd(t *testing.T) {
	db := storetest.New(t, "sqlite")
	s := newService(t, db, newMaster(t), policy)
	g := start(t, s, newUser(t, db, "ada@example.com"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Refresh(ctx, g.Refresh, session.Client{}); err == nil || errors.Is(err, session.ErrEnded) {
		t.Errorf("refresh: %v", err)
	}
	if err := s.Logout(ctx, g.Refresh, session.Principal{}); err == nil {
		t.Error("logout must say that it failed (R-93)")
	}
	if _, err := s.Refresh(t.Context(), g.Refresh, session.Client{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
