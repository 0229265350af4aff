// Package graph answers GraphQL operations by calls into the domain; it decides nothing itself.
package graph

//go:generate go tool gqlgen generate

import (
	"context"

	"github.com/google/uuid"

	"latchkey/internal/login"
	"latchkey/internal/profile"
	"latchkey/internal/session"
	"latchkey/internal/signup"
	"latchkey/internal/user"
)

// Users reads users.
type Users interface {
	// UserByID answers a user, or user.ErrNotFound.
	UserByID(ctx context.Context, id uuid.UUID) (user.User, error)
}

// Resolver holds what resolvers call. A team adds what its own fields need here.
type Resolver struct {
	// Unexported: gqlgen's generated methods would shadow exported ones.
	users    Users
	signup   *signup.Service
	login    *login.Service
	sessions *session.Service
	profile  *profile.Service
}

// NewResolver wires a Resolver.
func NewResolver(users Users, su *signup.Service, li *login.Service, sessions *session.Service, pr *profile.Service) *Resolver {
	return &Resolver{users: users, signup: su, login: li, sessions: sessions, profile: pr}
}
