// Package login lets a user in who knows the password, and nobody else.
package login

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Errors of Login.
var (
	// ErrInvalidCredentials: no such user, no password set, or the wrong one; never which.
	ErrInvalidCredentials = errors.New("login: invalid credentials")
	// ErrDisabled: the password was right, but the account is disabled.
	ErrDisabled = errors.New("login: account disabled")
)

// Store finds who is logging in.
type Store interface {
	// CredentialByEmail answers a user by normalised address with the stored password hash,
	// or user.ErrNotFound.
	CredentialByEmail(ctx context.Context, email string) (user.User, string, error)
	// ReplacePasswordHash stores newHash if the stored one is still oldHash.
	ReplacePasswordHash(ctx context.Context, id uuid.UUID, oldHash, newHash string) error
}

// Hasher checks passwords. Dummy spends the work of a Verify at the present parameters.
type Hasher interface {
	Hash(ctx context.Context, plain string) (string, error)
	Verify(ctx context.Context, stored, plain string) (password.Match, error)
	Dummy(ctx context.Context, plain string) error
}

// Limiter reserves an attempt before it is made.
type Limiter interface {
	Reserve(ctx context.Context, charges ...ratelimit.Charge) (*ratelimit.Reservation, error)
}

// Sessions starts a session.
type Sessions interface {
	Start(ctx context.Context, u user.User, c session.Client, presented token.Secret) (session.Grant, error)
}

// Config is the policy; all fields are required.
type Config struct {
	Limits    ratelimit.Limits // those of the buckets login-…
	Devices   token.DeviceCodec
	Pseudonym func(email string) string // how the log calls an account
}

// Service logs users in.
type Service struct {
	store    Store
	hasher   Hasher
	limiter  Limiter
	sessions Sessions
	events   *event.Log
	surge    ratelimit.Surge
	cfg      Config
}

// New wires a Service.
func New(store Store, hasher Hasher, limiter Limiter, sessions Sessions, events *event.Log, cfg Config) *Service {
	return &Service{store: store, hasher: hasher, limiter: limiter, sessions: sessions, events: events, cfg: cfg}
}

// Input is one attempt.
type Input struct {
	Email     string // as typed
	Password  string
	Client    session.Client
	Presented token.Secret // the refresh token of this browser's session, which ends
}

// Login checks a password and starts a session. The attempt is charged before the password is
// looked at, and given back if the password is right or was not looked at. Errors:
// ErrInvalidCredentials, ErrDisabled, *ratelimit.Error, password.ErrOverloaded.
func (s *Service) Login(ctx context.Context, in Input) (session.Grant, error) {
	email, emailErr := user.NormalizeEmail(in.Email)
	if emailErr != nil {
		email = impossible + strings.ToLower(strings.TrimSpace(in.Email))
	}
	charges, isKnown := s.charges(email, in.Client)
	reserved, err := s.limiter.Reserve(ctx, charges...)
	var limit *ratelimit.Error
	if errors.As(err, &limit) {
		s.events.Record(ctx, event.Event{Name: event.LoginThrottled, Account: s.cfg.Pseudonym(email), Reason: limit.Bucket})
	}
	if err != nil {
		return session.Grant{}, err
	}
	u, err := s.check(ctx, email, in.Password)
	switch {
	case errors.Is(err, ErrInvalidCredentials):
		// A known device's failures are no sign: whoever has an account can make any number of them.
		if !isKnown && s.surge.Failed() {
			s.events.Record(ctx, event.Event{Name: event.LoginSurge, Reason: "far more logins fail than usual: limits of addresses, networks and accounts are a quarter"})
		}
		return session.Grant{}, err
	case err == nil, errors.Is(err, ErrDisabled):
		reserved.Forgive(ctx)
	default: // nobody has looked at the password
		reserved.Refund(ctx)
	}
	if err != nil {
		return session.Grant{}, err
	}
	return s.Complete(ctx, u, in.Client, in.Presented)
}

// surgePart is what is left of the limits during a surge.
const surgePart = 4

// charges are what an attempt costs, and whether a known device makes it: that one pays with a
// budget of its own, so that strangers cannot lock its owner out; everybody else pays for
// address, network and account, existing or not.
func (s *Service) charges(email string, c session.Client) (charges []ratelimit.Charge, isKnown bool) {
	if device, err := s.cfg.Devices.Decode(c.Device, email); err == nil {
		return []ratelimit.Charge{s.cfg.Limits.Charge(ratelimit.LoginDevice, device.String())}, true
	}
	usual := s.cfg.Limits.Charge
	tight := usual
	if s.surge.On() {
		tight = func(bucket, key string) ratelimit.Charge { return usual(bucket, key).Part(surgePart) }
	}
	address := ratelimit.AddressKey(c.Address)
	spray := usual(ratelimit.LoginSpray, address)
	spray.Member = email
	return []ratelimit.Charge{
		tight(ratelimit.LoginAddress, address),
		tight(ratelimit.LoginNetwork, ratelimit.NetworkKey(c.Address)),
		spray,
		tight(ratelimit.LoginAccount, email),
		usual(ratelimit.LoginStreak, email),
	}, false
}

// impossible marks what cannot be an address: it takes the way of one that does not exist
// in an account bucket of its own.
const impossible = "@"

// check verifies the password: exactly one hash computation whatever the account.
func (s *Service) check(ctx context.Context, email, plain string) (user.User, error) {
	fail := event.Event{Name: event.LoginFailed, Account: s.cfg.Pseudonym(email)}
	var u user.User
	var stored string
	err := user.ErrNotFound
	if !strings.HasPrefix(email, impossible) {
		u, stored, err = s.store.CredentialByEmail(ctx, email)
	}
	switch {
	case errors.Is(err, user.ErrNotFound):
		if err := s.hasher.Dummy(ctx, plain); err != nil {
			return user.User{}, err
		}
		fail.Reason = "unknown account"
		s.events.Record(ctx, fail)
		return user.User{}, ErrInvalidCredentials
	case err != nil:
		return user.User{}, fmt.Errorf("login: %w", err)
	}
	fail.UserID = u.ID
	match, err := s.hasher.Verify(ctx, stored, plain)
	switch {
	case errors.Is(err, password.ErrUnusableHash):
		fail.Reason = "no usable password hash"
	case err != nil:
		return user.User{}, err
	case !match.OK:
		fail.Reason = "wrong password"
	}
	if fail.Reason != "" {
		s.events.Record(ctx, fail)
		return user.User{}, ErrInvalidCredentials
	}
	if u.Disabled() {
		fail.Reason = "account disabled"
		s.events.Record(ctx, fail)
		return user.User{}, ErrDisabled
	}
	if match.Stale {
		s.rehash(ctx, u, stored, plain)
	}
	return u, nil
}

// rehash brings a hash up to the present parameters. It can wait for the next login, so
// no failure of it fails this one.
func (s *Service) rehash(ctx context.Context, u user.User, stored, plain string) {
	e := event.Event{Name: event.PasswordRehashed, UserID: u.ID}
	fresh, err := s.hasher.Hash(ctx, plain)
	if err == nil {
		err = s.store.ReplacePasswordHash(ctx, u.ID, stored, fresh)
	}
	if err != nil {
		e.Name, e.Reason = event.RehashFailed, err.Error()
	}
	s.events.Record(ctx, e)
}

// Complete is the one door to a session: every way of signing in ends here. It makes the
// client's device a known one, or renews its mark.
func (s *Service) Complete(ctx context.Context, u user.User, c session.Client, presented token.Secret) (session.Grant, error) {
	g, err := s.sessions.Start(ctx, u, c, presented)
	if err != nil {
		return session.Grant{}, err
	}
	device, err := s.cfg.Devices.Decode(c.Device, u.Email)
	if err != nil {
		device = token.NewDeviceID()
	}
	g.Device = s.cfg.Devices.Encode(device, u.Email)
	s.events.Record(ctx, event.Event{Name: event.LoginSucceeded, UserID: u.ID, SessionID: g.SessionID})
	return g, nil
}
