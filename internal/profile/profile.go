// Package profile changes what users say of themselves.
package profile

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"latchkey/internal/input"
	"latchkey/internal/user"
)

// Store keeps what has changed.
type Store interface {
	// RenameUser stores the name and answers the user, or user.ErrNotFound.
	RenameUser(ctx context.Context, id uuid.UUID, name string) (user.User, error)
}

// Service changes profiles.
type Service struct{ store Store }

// New wires a Service.
func New(store Store) *Service { return &Service{store: store} }

// Update changes a user's name, which is held to the rules of sign-up, and answers the user. A
// name that is empty or blank means none. A change is not told to the security log: no decision
// goes by a name. Errors: *input.Error, user.ErrNotFound.
func (s *Service) Update(ctx context.Context, userID uuid.UUID, name string) (user.User, error) {
	name, err := user.NormalizeName(name)
	var unusable *user.InputError
	if errors.As(err, &unusable) {
		var mistakes input.Checklist
		mistakes.Add("name", input.Invalid, unusable.Message)
		return user.User{}, mistakes.Err()
	}
	u, err := s.store.RenameUser(ctx, userID, name)
	if err != nil {
		return user.User{}, fmt.Errorf("profile: %w", err)
	}
	return u, nil
}
