// Package session decides who holds a living session.
package session

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/event"
	"latchkey/internal/ratelimit"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Errors of Authenticate, and of Start and Refresh.
var (
	// ErrNoToken: the request carries no access token.
	ErrNoToken = errors.New("session: no access token")
	// ErrUncertain: this process has not learned for too long which sessions have ended and which
	// signing keys were removed, so it cannot tell.
	ErrUncertain = errors.New("session: the view of ended sessions or signing keys is too old")
	// ErrRevoked: the access token is good, but its session has ended.
	ErrRevoked = errors.New("session: the access token's session has ended")
	// ErrDisabled: the account was disabled before its new session began.
	ErrDisabled = errors.New("session: the account is disabled")
	// ErrEnded: the refresh token is missing, not ours, or of a session that is over. The cause
	// is in an *EndedError and is for the log.
	ErrEnded = errors.New("session: ended")
)

// EndedError carries the cause of ErrEnded.
type EndedError struct{ Reason EndReason }

// Error implements error.
func (e *EndedError) Error() string { return "session: ended: " + string(e.Reason) }

// Unwrap makes errors.Is(err, ErrEnded) true.
func (e *EndedError) Unwrap() error { return ErrEnded }

// EndReason says why a session is over, or why a refresh token is refused.
type EndReason string

// The reasons.
const (
	// These the database keeps.
	EndedByLogout    EndReason = "logout"
	EndedByRevokeAll EndReason = "revoke_all"
	EndedByReuse     EndReason = "reuse"    // a superseded token came back after the grace
	EndedByNewLogin  EndReason = "replaced" // the same browser signed in again
	EndedByOwner     EndReason = "revoked"  // its user ended this one alone
	EndedByCap       EndReason = "cap"      // its user signed in once too often
	EndedByDisabling EndReason = "disabled" // the user may not sign in any more

	// These follow from what it keeps.
	EndedByIdle EndReason = "idle"    // not used for the idle lifetime
	EndedByAge  EndReason = "expired" // the absolute lifetime is over

	// These are faults of the token alone.
	TokenMissing EndReason = "no_token"    // nothing was presented
	TokenUnknown EndReason = "unknown"     // not a token of a session that we know
	TokenForged  EndReason = "not_genuine" // the token's tag is wrong
)

// Client is where a request comes from.
type Client struct {
	Address   netip.Addr // the zero Addr if it could not be told
	UserAgent string
	Device    token.Secret // the mark of a known device (token.DeviceCodec), if the browser has one
}

// Principal is who a request acts for.
type Principal struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	Roles     []user.Role
	AuthTime  time.Time // when the user last proved who they are
	Until     time.Time // when the access token stops being accepted
}

// Session is a living session, for its user to see.
type Session struct {
	ID                               uuid.UUID
	CreatedAt, LastUsedAt, ExpiresAt time.Time
	Client                           Client // of the sign-in or the newest rotation
}

// Grant is what a caller holds after signing in or refreshing.
type Grant struct {
	User       user.User
	SessionID  uuid.UUID
	Access     token.Secret
	AccessTTL  time.Duration // whole seconds, from now
	Refresh    token.Secret
	RefreshTTL time.Duration // until the session's absolute end
	Device     token.Secret  // after signing in: the mark that makes this browser a known device
	// Unchanged: the caller presented the very token in Refresh, and the next rotation may be
	// near. A transport that can leave the caller's copy alone (a cookie) must: an answer that
	// is overtaken by the rotation's would otherwise put the old token back.
	Unchanged bool
}

// NewSession is a session to be stored.
type NewSession struct {
	ID         uuid.UUID
	UserID     uuid.UUID
	SecretHash []byte
	Client     Client
	TTL        time.Duration
	IdleTTL    time.Duration
	Max        int       // living sessions of a user, this one included
	Replaces   uuid.UUID // a session to end in the same transaction; uuid.Nil for none
}

// Rotate asks for one refresh.
type Rotate struct {
	SessionID  uuid.UUID
	SecretHash []byte
	Generation int64 // of the presented token
	Grace      time.Duration
	IdleTTL    time.Duration
	MaxRepeats int
	Client     Client // kept with a rotation, where it is known
}

// Outcome says what a refresh did.
type Outcome int

// The outcomes. The zero value is none of them.
const (
	Rotated   Outcome = iota + 1 // the generation moved on
	Repeated                     // the current token was handed out once more
	Unchanged                    // the presented token is the current one and stays it a little longer
	Throttled                    // too many repeats of one generation
	Reused                       // the session was ended: a superseded token came back
	Dead                         // there is no such living session; Reason says why
)

// Rotation is the result of one refresh.
type Rotation struct {
	Outcome    Outcome
	Reason     EndReason // with Dead
	User       user.User
	Generation int64 // the current one
	AuthTime   time.Time
	TTL        time.Duration // until the session's absolute end
	Wait       time.Duration // with Throttled: until the token rotates
	Age        time.Duration // since the rotation, by the database's clock
}

// Store keeps sessions. Every instant is the database's.
type Store interface {
	// CreateSession stores n and answers the instant it was created at, and which of the
	// user's sessions it ended as too many: the least recently used. Errors: ErrDisabled.
	CreateSession(ctx context.Context, n NewSession) (createdAt time.Time, tooMany []uuid.UUID, err error)
	// RotateSession decides a refresh in one statement. What it decides is committed, also
	// when the caller gets an error for it.
	RotateSession(ctx context.Context, r Rotate) (Rotation, error)
	// EndSession ends one session and reports whether nobody had before.
	EndSession(ctx context.Context, id uuid.UUID, reason EndReason) (bool, error)
	// EndOwnSession ends a living session of a user and reports whether there was one.
	EndOwnSession(ctx context.Context, userID, id uuid.UUID, reason EndReason, idle time.Duration) (bool, error)
	// EndSessionsOf ends all sessions of a user and answers their ids, and how many of them
	// were alive: used within idle, and before their absolute end.
	EndSessionsOf(ctx context.Context, userID uuid.UUID, reason EndReason, idle time.Duration) (ids []uuid.UUID, alive int, err error)
	// LiveSessions answers the living sessions of a user, the last used first.
	LiveSessions(ctx context.Context, userID uuid.UUID, idle time.Duration) ([]Session, error)
}

// News tells which sessions have ended, whichever process ended them.
type News interface {
	// EndedSessions answers the ids of the sessions that ended within the last while.
	EndedSessions(ctx context.Context, within time.Duration) ([]uuid.UUID, error)
	// ListenEnded calls ended with each session that ends from now on, as its end is committed,
	// and listening once, when nothing can be missed any more. It returns when ctx ends or the
	// connection breaks.
	ListenEnded(ctx context.Context, listening func(), ended func(uuid.UUID)) error
}

// Cleaner forgets sessions.
type Cleaner interface {
	// DeleteDeadSessions deletes at most limit sessions that have been over for at least age
	// and answers how many.
	DeleteDeadSessions(ctx context.Context, age time.Duration, limit int) (int, error)
}

// Database keeps sessions and tells of their ends.
type Database interface {
	Store
	News
	Cleaner
}

// Limiter reserves an attempt before it is made.
type Limiter interface {
	Reserve(ctx context.Context, charges ...ratelimit.Charge) (*ratelimit.Reservation, error)
}

// Tokens makes and checks both kinds.
type Tokens struct {
	Access  *token.Issuer
	Refresh token.RefreshCodec
}

// Config is the policy. All fields but Grace are required.
type Config struct {
	Grace   time.Duration // how long a superseded refresh token is forgiven; 0: never
	IdleTTL time.Duration
	TTL     time.Duration
	Limits  ratelimit.Limits // RefreshSession, RefreshInvalid
	Max     int              // living sessions of a user
}

// maxRepeats is how often one generation is handed out again before the caller has to wait.
const maxRepeats = 100

// Service starts, authenticates, refreshes and ends sessions.
type Service struct {
	db      Database
	tokens  Tokens
	limiter Limiter
	events  *event.Log
	cfg     Config

	ended   endedSet
	watches watchList
	feed    feedCache
}

// New wires a Service.
func New(db Database, tokens Tokens, limiter Limiter, events *event.Log, cfg Config) *Service {
	return &Service{db: db, tokens: tokens, limiter: limiter, events: events, cfg: cfg}
}

// Start makes a new session for a user who has just proved who they are. A refresh token that
// the same browser presented gives no authority; its session ends with the new one's start
// . Errors: ErrDisabled, or the store's. Only login.Complete calls Start.
func (s *Service) Start(ctx context.Context, u user.User, c Client, presented token.Secret) (Grant, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Grant{}, fmt.Errorf("session: make an id: %w", err)
	}
	fresh := token.NewRefresh(id)
	n := NewSession{
		ID: id, UserID: u.ID, SecretHash: fresh.SecretHash(), Client: c,
		TTL: s.cfg.TTL, IdleTTL: s.cfg.IdleTTL, Max: s.cfg.Max,
	}
	if old, err := s.tokens.Refresh.Decode(presented); err == nil {
		n.Replaces = old.SessionID
	}
	createdAt, tooMany, err := s.db.CreateSession(ctx, n)
	if err != nil {
		return Grant{}, fmt.Errorf("session: start: %w", err)
	}
	if n.Replaces != uuid.Nil {
		s.noteEnded(n.Replaces)
	}
	s.noteEnded(tooMany...)
	for _, id := range tooMany {
		s.events.Record(ctx, event.Event{Name: event.SessionCapped, UserID: u.ID, SessionID: id})
	}
	return s.grant(u, createdAt, fresh, s.cfg.TTL)
}

// Authenticate turns an access token into the principal it stands for, with no database read.
// Errors: ErrNoToken, ErrRevoked, ErrUncertain, token.ErrAccessExpired, token.ErrAccessInvalid.
func (s *Service) Authenticate(accessToken string) (Principal, error) {
	if accessToken == "" {
		return Principal{}, ErrNoToken
	}
	a, err := s.tokens.Access.Verify(accessToken)
	if err != nil {
		return Principal{}, err
	}
	if s.ended.has(a.SessionID) {
		return Principal{}, ErrRevoked
	}
	if err := s.Fresh(); err != nil {
		return Principal{}, err
	}
	roles := make([]user.Role, len(a.Roles))
	for i, r := range a.Roles {
		roles[i] = user.Role(r)
	}
	return Principal{UserID: a.UserID, SessionID: a.SessionID, Roles: roles, AuthTime: a.AuthTime, Until: a.Until}, nil
}

// Fresh answers ErrUncertain while Authenticate would.
func (s *Service) Fresh() error {
	if s.ended.age() > maxViewAge || s.tokens.Access.KeysAge() > maxViewAge {
		return ErrUncertain
	}
	return nil
}

// Holder answers the session that a genuine refresh token names, dead or alive; uuid.Nil for any
// other text. It asks nobody.
func (s *Service) Holder(presented token.Secret) uuid.UUID {
	r, err := s.tokens.Refresh.Decode(presented)
	if err != nil {
		return uuid.Nil
	}
	return r.SessionID
}

// Refresh exchanges a refresh token for a new grant. Genuine tokens are charged to their session
// and others to the client's address, so that no stranger keeps a session from refreshing
// . Errors: ErrEnded (as *EndedError), *ratelimit.Error, or the store's.
func (s *Service) Refresh(ctx context.Context, presented token.Secret, c Client) (Grant, error) {
	if presented.Empty() {
		return Grant{}, &EndedError{TokenMissing}
	}
	old, err := s.tokens.Refresh.Decode(presented)
	charge := s.cfg.Limits.Charge(ratelimit.RefreshSession, old.SessionID.String())
	if err != nil {
		charge = s.cfg.Limits.Charge(ratelimit.RefreshInvalid, ratelimit.AddressKey(c.Address))
	}
	_, limited := s.limiter.Reserve(ctx, charge)
	var limit *ratelimit.Error
	if errors.As(limited, &limit) {
		s.events.Record(ctx, event.Event{Name: event.RefreshFailed, SessionID: old.SessionID, Reason: limit.Bucket})
	}
	if limited != nil {
		return Grant{}, limited
	}
	if err != nil {
		s.events.Record(ctx, event.Event{Name: event.RefreshFailed, Reason: string(TokenForged)})
		return Grant{}, &EndedError{TokenForged}
	}
	r, err := s.db.RotateSession(ctx, Rotate{
		SessionID: old.SessionID, SecretHash: old.SecretHash(), Generation: old.Generation,
		Grace: s.cfg.Grace, IdleTTL: s.cfg.IdleTTL, MaxRepeats: maxRepeats, Client: c,
	})
	if err != nil {
		return Grant{}, fmt.Errorf("session: refresh: %w", err)
	}
	tell := func(name event.Name, reason string) {
		s.events.Record(ctx, event.Event{Name: name, UserID: r.User.ID, SessionID: old.SessionID, Reason: reason})
	}
	switch r.Outcome {
	case Rotated:
		tell(event.Refreshed, "")
	case Repeated, Unchanged:
		tell(event.RefreshRepeated, fmt.Sprintf("%d ms after the rotation", r.Age.Milliseconds()))
	case Throttled:
		tell(event.RefreshFailed, "repeated too often")
		return Grant{}, &ratelimit.Error{RetryAfter: max(r.Wait, time.Second)}
	case Reused:
		s.noteEnded(old.SessionID)
		tell(event.RefreshReused, fmt.Sprintf("generation %d of %d", old.Generation, r.Generation))
		return Grant{}, &EndedError{EndedByReuse}
	default:
		tell(event.RefreshFailed, string(r.Reason))
		return Grant{}, &EndedError{r.Reason}
	}
	current := token.Refresh{SessionID: old.SessionID, Generation: r.Generation, Random: old.Random}
	g, err := s.grant(r.User, r.AuthTime, current, r.TTL)
	g.Unchanged = r.Outcome == Unchanged
	return g, err
}

// Logout ends the session of a refresh token and the session of a principal; usually they are
// one. It is no error if there is neither, or if they are over.
func (s *Service) Logout(ctx context.Context, presented token.Secret, p Principal) error {
	ids := []uuid.UUID{p.SessionID}
	if r, err := s.tokens.Refresh.Decode(presented); err == nil && r.SessionID != p.SessionID {
		ids = append(ids, r.SessionID)
	}
	for _, id := range ids {
		if id == uuid.Nil {
			continue
		}
		ended, err := s.db.EndSession(ctx, id, EndedByLogout)
		if err != nil {
			return fmt.Errorf("session: log out: %w", err)
		}
		s.noteEnded(id)
		if ended {
			e := event.Event{Name: event.LoggedOut, SessionID: id}
			if id == p.SessionID { // another session may be another user's
				e.UserID = p.UserID
			}
			s.events.Record(ctx, e)
		}
	}
	return nil
}

// RevokeAll ends every session of a user and answers how many there were. The session of a
// refresh token that came along ends too, whosever it is: its cookie is about to go.
func (s *Service) RevokeAll(ctx context.Context, userID uuid.UUID, presented token.Secret) (int, error) {
	ids, alive, err := s.db.EndSessionsOf(ctx, userID, EndedByRevokeAll, s.cfg.IdleTTL)
	if err != nil {
		return 0, fmt.Errorf("session: revoke all: %w", err)
	}
	s.noteEnded(ids...)
	s.events.Record(ctx, event.Event{Name: event.AllRevoked, UserID: userID, Count: alive})
	return alive, s.Logout(ctx, presented, Principal{})
}

func (s *Service) grant(u user.User, authTime time.Time, r token.Refresh, ttl time.Duration) (Grant, error) {
	roles := make([]string, len(u.Roles))
	for i, role := range u.Roles {
		roles[i] = string(role)
	}
	access, lifetime, err := s.tokens.Access.Issue(token.Access{
		UserID: u.ID, SessionID: r.SessionID, Roles: roles, AuthTime: authTime,
	})
	if err != nil {
		return Grant{}, fmt.Errorf("session: %w", err)
	}
	return Grant{
		User: u, SessionID: r.SessionID, Access: access, AccessTTL: lifetime,
		Refresh: s.tokens.Refresh.Encode(r), RefreshTTL: ttl,
	}, nil
}
