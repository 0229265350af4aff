package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph/model"
	"latchkey/internal/input"
	"latchkey/internal/login"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Errors of the @auth directive.
var (
	// ErrForbidden: signed in, but without any of the roles.
	ErrForbidden = errors.New("graph: role missing")
	// ErrReauthenticate: the last proof of identity is older than maxAge.
	ErrReauthenticate = errors.New("graph: authentication too old")
)

// ErrGone: the signed-in user has been deleted.
var ErrGone = errors.New("graph: the signed-in user is gone")

// public is what a client learns of an error.
type public struct {
	code    model.ErrorCode
	message string
	reason  string // extensions.reason, where clients act on it
}

// table translates domain errors. What is not in it is logged and answered INTERNAL.
var table = []struct {
	err error
	public
}{
	{session.ErrNoToken, public{model.ErrorCodeUnauthenticated, "Sign in first.", "TOKEN_MISSING"}},
	{token.ErrAccessExpired, public{model.ErrorCodeUnauthenticated, "The access token has expired.", "TOKEN_EXPIRED"}},
	{token.ErrAccessInvalid, public{model.ErrorCodeUnauthenticated, "The access token is not valid.", "TOKEN_INVALID"}},
	{session.ErrRevoked, public{model.ErrorCodeUnauthenticated, "The session has ended.", "SESSION_ENDED"}},
	{ErrGone, public{model.ErrorCodeUnauthenticated, "The account is gone.", "SESSION_ENDED"}},
	{ErrForbidden, public{model.ErrorCodeForbidden, "Not allowed.", ""}},
	{session.ErrDisabled, public{model.ErrorCodeForbidden, "This account is disabled.", "ACCOUNT_DISABLED"}},
	{login.ErrDisabled, public{model.ErrorCodeForbidden, "This account is disabled.", "ACCOUNT_DISABLED"}},
	{ErrReauthenticate, public{model.ErrorCodeReauthenticationRequired, "Log in again, then repeat.", ""}},
	{login.ErrInvalidCredentials, public{model.ErrorCodeInvalidCredentials, "Email or password is wrong.", ""}},
	{session.ErrEnded, public{model.ErrorCodeSessionEnded, "The session has ended. Sign in again.", ""}},
	{user.ErrEmailTaken, public{model.ErrorCodeEmailTaken, "This email address is taken.", ""}},
	{password.ErrOverloaded, public{model.ErrorCodeOverloaded, "The server is busy. Try again.", ""}},
	{session.ErrNoRoom, public{model.ErrorCodeOverloaded, "The server is busy. Try again.", ""}},
	{session.ErrUncertain, public{model.ErrorCodeOverloaded, "The server cannot tell at the moment. Try again.", ""}},
	{context.DeadlineExceeded, public{model.ErrorCodeOverloaded, "This took too long. Try again.", ""}},
}

// overloadedFor is how long a client waits before it repeats what was shed.
const overloadedFor = 2 * time.Second

// crossSite explains the likeliest failure of the first day.
const crossSite = "The browser sent no refresh cookie, because the page and this server are different sites. " +
	"Use the same host name for both: localhost and 127.0.0.1 are two."

// presenter turns any error into what a client may see.
func presenter(log *slog.Logger, cfg HandlerConfig) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		out := &gqlerror.Error{Extensions: map[string]any{}}
		// Built anew: gqlgen writes path and locations into the error that it is given.
		var located *gqlerror.Error
		if errors.As(err, &located) {
			out.Locations, out.Rule = located.Locations, located.Rule
		}
		// Before execution a path leads into the variables, and its last step may be the
		// request's own word.
		if located != nil && graphql.GetFieldContext(ctx) != nil {
			out.Path = located.Path
		}
		// Only before execution; a resolver that makes a *gqlerror.Error of its own gets no
		// further with it than with any other.
		if located != nil && located.Err == nil && graphql.GetFieldContext(ctx) == nil {
			refusal(out, located, cfg.Introspection)
		} else {
			if located != nil && located.Err != nil {
				err = located.Err
			}
			translate(ctx, log, cfg.Reasons, out, err)
		}
		reqctx.From(ctx).Note(codeOf(out))
		return out
	}
}

func codeOf(e *gqlerror.Error) string {
	code, _ := e.Extensions["code"].(string)
	return code
}

func translate(ctx context.Context, log *slog.Logger, reasons bool, out *gqlerror.Error, err error) {
	req := reqctx.From(ctx)
	var tooMany *ratelimit.Error
	var mistakes *input.Error
	switch {
	case errors.As(err, &tooMany):
		limited(out, tooMany.RetryAfter)
		return
	case errors.As(err, &mistakes):
		set(out, public{model.ErrorCodeBadUserInput, "The input is not usable.", ""})
		out.Extensions["fields"] = fields(mistakes.Mistakes)
		return
	}
	for _, row := range table {
		if !errors.Is(err, row.err) {
			continue
		}
		set(out, row.public)
		switch row.code {
		case model.ErrorCodeOverloaded:
			if row.err == context.DeadlineExceeded { // the others say all in the request's line
				log.WarnContext(ctx, "request timed out", "error", err)
			}
			out.Extensions["retryAfter"] = seconds(overloadedFor)
		case model.ErrorCodeEmailTaken:
			out.Extensions["fields"] = fields([]input.Mistake{{Field: "email", Code: input.Code(row.code), Message: row.message}})
		case model.ErrorCodeSessionEnded:
			var ended *session.EndedError
			if errors.As(err, &ended) {
				explainEnd(out, ended.Reason, req.CrossSite, reasons)
			}
		}
		return
	}
	if argumentsUnread(ctx) && !errors.Is(err, errPanic) {
		set(out, public{model.ErrorCodeGraphqlValidationFailed, "An argument does not fit its type.", ""})
		return
	}
	if errors.Is(err, context.Canceled) {
		log.DebugContext(ctx, "the client went away")
	} else {
		log.ErrorContext(ctx, "request failed", "error", err)
	}
	internal(req.ID, out)
}

// argumentsUnread reports whether the field at hand has arguments that gqlgen could not read:
// gqlparser lets pass what a scalar or an enum of Go refuses, such as an Int out of range.
// Those errors quote the value, and have no type of their own.
func argumentsUnread(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	return field != nil && field.Args == nil && field.Field.Field != nil && len(field.Field.Arguments) > 0
}

// explainEnd tells a caller who presented nothing so, and in development everybody the cause
//
func explainEnd(out *gqlerror.Error, reason session.EndReason, isCrossSite, reasons bool) {
	if reasons {
		out.Extensions["reason"] = string(reason)
	}
	switch {
	case reason == session.TokenMissing && isCrossSite:
		out.Message = crossSite
		out.Extensions["reason"] = "CROSS_SITE" // clients tell the console
	case reason == session.TokenMissing:
		out.Message = "Not signed in: the request came without a refresh token."
	}
}

func limited(out *gqlerror.Error, retryAfter time.Duration) {
	set(out, public{model.ErrorCodeRateLimited, "Too many attempts. Try again later.", ""})
	out.Extensions["retryAfter"] = seconds(retryAfter)
}

func internal(requestID string, out *gqlerror.Error) {
	set(out, public{model.ErrorCodeInternal, "Something went wrong on our side.", ""})
	out.Extensions["requestId"] = requestID
}

func set(out *gqlerror.Error, p public) {
	out.Message = p.message
	out.Extensions["code"] = string(p.code)
	if p.reason != "" {
		out.Extensions["reason"] = p.reason
	}
}

func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

func fields(mistakes []input.Mistake) []map[string]string {
	out := make([]map[string]string, len(mistakes))
	for i, m := range mistakes {
		out[i] = map[string]string{"field": m.Field, "code": string(m.Code), "message": m.Message}
	}
	return out
}

// refusal describes what gqlparser found wrong with a document or its variables. Its messages
// quote the request, and a password may stand at the wrong place: nothing of it comes
// back but, where the schema is no secret either, the names that the document uses.
func refusal(out, found *gqlerror.Error, names bool) {
	code, _ := found.Extensions["code"].(string)
	invalid := func(message string) { set(out, public{model.ErrorCodeGraphqlValidationFailed, message, ""}) }
	switch {
	case code == errcode.ParseFailed && strings.HasPrefix(found.Message, tokensExceeded):
		set(out, public{model.ErrorCodeBadRequest, fmt.Sprintf("A document may have at most %d tokens.", tokenLimit), ""})
	case code == errcode.ParseFailed:
		set(out, public{model.ErrorCodeGraphqlParseFailed, "The document is not valid GraphQL.", ""})
	case code == string(model.ErrorCodeBadRequest), found.Rule == ruleLimits, found.Rule == ruleCredential:
		set(out, public{model.ErrorCodeBadRequest, found.Message, ""})
	case found.Rule == "" && len(found.Path) > 1 && names: // "variable", its name in the document, and the way to the mistake
		invalid(fmt.Sprintf("The variable $%v does not fit its type.", found.Path[1]))
	case found.Rule == "" && len(found.Path) > 1:
		invalid("A variable does not fit its type.")
	case found.Rule == "":
		invalid("The operation or its variables do not fit the schema.")
	case quotesValues(found.Rule):
		invalid("A value does not fit its type.")
	case names, found.Rule == ruleIntrospection:
		invalid(found.Message)
	default:
		invalid("The document breaks a rule of GraphQL: " + strings.TrimSuffix(found.Rule, "WithoutSuggestions") + ".")
	}
}

func quotesValues(rule string) bool {
	switch rule {
	case "ValuesOfCorrectType", "ValuesOfCorrectTypeWithoutSuggestions", "OverlappingFieldsCanBeMerged":
		return true
	}
	return false
}
