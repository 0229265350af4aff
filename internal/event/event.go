// Package event writes what a security log must tell, one structured line per event.
package event

import (
	"context"
	"log/slog"

	"github.com/google/uuid"
)

// Name says what happened, in the past tense.
type Name string

// The events.
const (
	SignedUp         Name = "signup.succeeded"
	SignupRefused    Name = "signup.refused"
	LoginSucceeded   Name = "login.succeeded"
	LoginFailed      Name = "login.failed"
	LoginThrottled   Name = "login.throttled"
	LoginSurge       Name = "login.surge"
	PasswordRehashed Name = "password.rehashed"
	RehashFailed     Name = "password.rehash_failed"
	Refreshed        Name = "refresh.rotated"
	RefreshRepeated  Name = "refresh.repeated"
	RefreshFailed    Name = "refresh.failed"
	RefreshReused    Name = "refresh.reused"
	LoggedOut        Name = "logout.succeeded"
	AllRevoked       Name = "sessions.revoked"
	SessionRevoked   Name = "session.revoked"
	SessionCapped    Name = "session.capped"
	UserDisabled     Name = "user.disabled"
	UserEnabled      Name = "user.enabled"
	KeyRotated       Name = "key.rotated"
	KeyRemoved       Name = "key.removed"
	KeyResealed      Name = "key.resealed"
	Started          Name = "server.started"
)

// Event is one line of the security log. Zero fields are left out.
type Event struct {
	Name      Name
	UserID    uuid.UUID
	SessionID uuid.UUID
	Account   string // a keyed pseudonym of the email, where there may be no such user
	Reason    string // for operators; never told to the client
	Count     int
}

// Log writes events. The request's id and client come from the context, through the handler
// of its logger.
type Log struct{ log *slog.Logger }

// NewLog writes to log.
func NewLog(log *slog.Logger) *Log { return &Log{log: log} }

// Record writes one event: warnings for what an operator should look at.
func (l *Log) Record(ctx context.Context, e Event) {
	level := slog.LevelInfo
	if e.Name == RefreshReused || e.Name == LoginSurge {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("event", string(e.Name))}
	if e.UserID != uuid.Nil {
		attrs = append(attrs, slog.String("user_id", e.UserID.String()))
	}
	if e.SessionID != uuid.Nil {
		attrs = append(attrs, slog.String("session_id", e.SessionID.String()))
	}
	if e.Account != "" {
		attrs = append(attrs, slog.String("account", e.Account))
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.Count != 0 {
		attrs = append(attrs, slog.Int("count", e.Count))
	}
	l.log.LogAttrs(ctx, level, "security", attrs...)
}
