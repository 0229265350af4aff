// Package user says who an account is.
package user

import (
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

var (
	// ErrNotFound says that no such user exists. It never means that the store
	// could not be asked.
	ErrNotFound = errors.New("user: not found")
	// ErrEmailTaken says that another user already has this normalised email.
	ErrEmailTaken = errors.New("user: email taken")
	// ErrUnknownRole is returned by ParseRole.
	ErrUnknownRole = errors.New("user: unknown role")
)

// Role is what a user may do, spelled as in the schema and in the access token.
// The zero Role is no role and grants nothing.
type Role string

// The roles there are.
const (
	RoleUser  Role = "USER"
	RoleAdmin Role = "ADMIN"
)

// ParseRole returns the role with exactly this spelling (upper case), or
// ErrUnknownRole.
func ParseRole(s string) (Role, error) {
	switch role := Role(s); role {
	case RoleUser, RoleAdmin:
		return role, nil
	}
	return "", ErrUnknownRole
}

// User is one account. It holds no secret and no hash, so that it can be
// logged, encoded and passed to a resolver.
type User struct {
	ID            uuid.UUID // random, never reassigned; the JWT "sub"
	Email         string    // as NormalizeEmail returns it
	EmailVerified bool
	Name          string // as NormalizeName returns it; "" is none
	Roles         []Role
	CreatedAt     time.Time
	DisabledAt    time.Time // zero: enabled
}

// HasRole reports whether the user holds the role. Nobody holds the zero Role.
func (u User) HasRole(role Role) bool {
	return role != "" && slices.Contains(u.Roles, role)
}

// Disabled reports whether an administrator has switched the account off.
func (u User) Disabled() bool {
	return !u.DisabledAt.IsZero()
}
