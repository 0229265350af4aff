// Package reqctx carries what the transport knows of one request.
package reqctx

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"latchkey/internal/session"
	"latchkey/internal/token"
)

// Cookies is where a resolver puts what a browser keeps. The transport writes it into the
// answer's header.
type Cookies interface {
	Set(refresh token.Secret, maxAge time.Duration)
	Clear()                                             // the refresh token alone
	Remember(device token.Secret, maxAge time.Duration) // the mark of a known device
}

// Request is what is known of one request.
type Request struct {
	ID        string
	Client    session.Client
	Principal session.Principal // zero unless AuthErr is nil
	AuthErr   error             // why there is no principal
	Refresh   token.Secret      // from the cookie; only signing in, refresh and logout may look
	CrossSite bool              // the browser says that the page is of another site
	Cookies   Cookies

	mu    sync.Mutex
	notes []string
}

// maxNotes bounds the line of a request that is full of fields or of mistakes.
const maxNotes = 40

// Note adds words to the request's line in the log: names of the schema, never of the request.
// What is too much is left out.
func (r *Request) Note(words ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, words[:min(len(words), maxNotes-len(r.notes))]...)
}

// Notes returns what was noted.
func (r *Request) Notes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.notes...)
}

type key struct{}

// With returns a context that carries r.
func With(ctx context.Context, r *Request) context.Context { return context.WithValue(ctx, key{}, r) }

// From returns the request of ctx. Outside a request it is an empty one that nobody is signed
// in to.
func From(ctx context.Context) *Request {
	if r, ok := ctx.Value(key{}).(*Request); ok {
		return r
	}
	return &Request{AuthErr: session.ErrNoToken, Cookies: noCookies{}}
}

type noCookies struct{}

func (noCookies) Set(token.Secret, time.Duration)      {}
func (noCookies) Clear()                               {}
func (noCookies) Remember(token.Secret, time.Duration) {}

// LogHandler adds the request's id, client address and user agent to every record logged with its context.
func LogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if req, ok := ctx.Value(key{}).(*Request); ok {
		r = r.Clone() // other handlers may have the same record
		address := "unknown"
		if req.Client.Address.IsValid() {
			address = req.Client.Address.String()
		}
		r.AddAttrs(slog.String("request_id", req.ID), slog.String("client", address), slog.String("user_agent", req.Client.UserAgent))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
