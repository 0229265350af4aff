package session

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/token"
)

// Sessions answers the living sessions of a user, the last used first.
func (s *Service) Sessions(ctx context.Context, userID uuid.UUID) ([]Session, error) {
	list, err := s.db.LiveSessions(ctx, userID, s.cfg.IdleTTL)
	if err != nil {
		return nil, fmt.Errorf("session: list: %w", err)
	}
	return list, nil
}

// Revoke ends one living session of a principal's user. It reports whether there was one: what
// is no id, over already or another user's is all the same; and whether it was the
// principal's own. That one ends like a logout: the session of a refresh token that came along
// ends too, because its cookie is about to go.
func (s *Service) Revoke(ctx context.Context, p Principal, id string, presented token.Secret) (ended, own bool, err error) {
	target, err := uuid.Parse(id)
	if err != nil {
		return false, false, nil
	}
	ended, err = s.db.EndOwnSession(ctx, p.UserID, target, EndedByOwner, s.cfg.IdleTTL)
	if err != nil {
		return false, false, fmt.Errorf("session: revoke: %w", err)
	}
	if !ended {
		return false, false, nil
	}
	s.noteEnded(target)
	s.events.Record(ctx, event.Event{Name: event.SessionRevoked, UserID: p.UserID, SessionID: target})
	if target != p.SessionID {
		return true, false, nil
	}
	return true, true, s.Logout(ctx, presented, Principal{})
}
