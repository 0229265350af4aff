// Package signup creates accounts.
package signup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/input"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Store keeps new users.
type Store interface {
	// CreateUser stores u and answers it with its CreatedAt, or user.ErrEmailTaken.
	CreateUser(ctx context.Context, u user.User, passwordHash string) (user.User, error)
}

// Hasher hashes a new password.
type Hasher interface {
	Hash(ctx context.Context, plain string) (string, error)
}

// Limiter reserves an attempt before it is made.
type Limiter interface {
	Reserve(ctx context.Context, charges ...ratelimit.Charge) (*ratelimit.Reservation, error)
}

// Completer is login.Complete.
type Completer interface {
	Complete(ctx context.Context, u user.User, c session.Client, presented token.Secret) (session.Grant, error)
}

// Config is the policy; all fields are required.
type Config struct {
	Limits   ratelimit.Limits // SignupAddress
	Password password.Policy
	// Service is this installation's name, which must not be a password.
	Service string
}

// Service creates accounts.
type Service struct {
	store    Store
	hasher   Hasher
	limiter  Limiter
	complete Completer
	events   *event.Log
	cfg      Config
}

// New wires a Service. The Completer may be nil where only Register is called.
func New(store Store, hasher Hasher, limiter Limiter, complete Completer, events *event.Log, cfg Config) *Service {
	return &Service{store: store, hasher: hasher, limiter: limiter, complete: complete, events: events, cfg: cfg}
}

// Input is what somebody typed.
type Input struct {
	Email    string
	Password string
	Name     string      // optional
	Roles    []user.Role // none: RoleUser
}

// SignUp creates an account and signs it in. Input that cannot become an account is told at
// once and free of charge; a new account, and the news that an address is taken, are charged
// to the client's address. Errors: those of Register, *ratelimit.Error.
func (s *Service) SignUp(ctx context.Context, in Input, c session.Client, presented token.Secret) (session.Grant, error) {
	u, err := s.check(in)
	if err != nil {
		return session.Grant{}, err
	}
	reserved, err := s.limiter.Reserve(ctx, s.cfg.Limits.Charge(ratelimit.SignupAddress, ratelimit.AddressKey(c.Address)))
	var limit *ratelimit.Error
	if errors.As(err, &limit) {
		s.events.Record(ctx, event.Event{Name: event.SignupRefused, Reason: "rate limited"})
	}
	if err != nil {
		return session.Grant{}, err
	}
	u, err = s.create(ctx, u, in.Password)
	if err != nil && !errors.Is(err, user.ErrEmailTaken) {
		reserved.Refund(ctx) // our fault, not an attempt
	}
	if err != nil {
		return session.Grant{}, err
	}
	return s.complete.Complete(ctx, u, c, presented)
}

// Register creates an account without signing it in, and is not limited. Errors: *input.Error
// with every mistake, user.ErrEmailTaken, password.ErrOverloaded.
func (s *Service) Register(ctx context.Context, in Input) (user.User, error) {
	u, err := s.check(in)
	if err != nil {
		return user.User{}, err
	}
	return s.create(ctx, u, in.Password)
}

// check reports all mistakes at once.
func (s *Service) check(in Input) (user.User, error) {
	var mistakes input.Checklist
	var unusable *user.InputError
	email, err := user.NormalizeEmail(in.Email)
	if strings.TrimSpace(in.Email) == "" {
		mistakes.Add("email", input.Required, "Enter an email address.")
	} else if errors.As(err, &unusable) {
		mistakes.Add("email", input.Invalid, unusable.Message)
	}
	name, err := user.NormalizeName(in.Name)
	if errors.As(err, &unusable) {
		mistakes.Add("name", input.Invalid, unusable.Message)
	}
	var weak *password.PolicyError
	if in.Password == "" {
		mistakes.Add("password", input.Required, "Enter a password.")
	} else if err := s.cfg.Password.Check(in.Password, s.cfg.Service, email, name); errors.As(err, &weak) {
		mistakes.Add("password", input.Code(weak.Code), weak.Message)
	}
	roles := in.Roles
	if len(roles) == 0 {
		roles = []user.Role{user.RoleUser}
	}
	// Random ids are never given again after a deletion.
	return user.User{ID: uuid.New(), Email: email, Name: name, Roles: roles}, mistakes.Err()
}

func (s *Service) create(ctx context.Context, u user.User, plain string) (user.User, error) {
	hash, err := s.hasher.Hash(ctx, plain)
	if err != nil {
		return user.User{}, fmt.Errorf("signup: %w", err)
	}
	created, err := s.store.CreateUser(ctx, u, hash)
	if errors.Is(err, user.ErrEmailTaken) {
		s.events.Record(ctx, event.Event{Name: event.SignupRefused, Reason: "email taken"})
	}
	if err != nil {
		return user.User{}, fmt.Errorf("signup: %w", err)
	}
	s.events.Record(ctx, event.Event{Name: event.SignedUp, UserID: created.ID})
	return created, nil
}
