package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"latchkey/internal/input"
	"latchkey/internal/login"
	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

type expectation struct {
	err        error
	message    string
	extensions string
}

// expected is wire.md's table of answers.
func expected() map[string]expectation {
	unauthenticated := func(reason string) string { return `{"code":"UNAUTHENTICATED","reason":"` + reason + `"}` }
	overloaded := `{"code":"OVERLOADED","retryAfter":2}`
	return map[string]expectation{
		"no token":                   {session.ErrNoToken, "Sign in first.", unauthenticated("TOKEN_MISSING")},
		"expired":                    {token.ErrAccessExpired, "The access token has expired.", unauthenticated("TOKEN_EXPIRED")},
		"not ours":                   {token.ErrAccessInvalid, "The access token is not valid.", unauthenticated("TOKEN_INVALID")},
		"ended":                      {session.ErrRevoked, "The session has ended.", unauthenticated("SESSION_ENDED")},
		"the user was deleted":       {ErrGone, "The account is gone.", unauthenticated("SESSION_ENDED")},
		"a role is missing":          {ErrForbidden, "Not allowed.", `{"code":"FORBIDDEN"}`},
		"disabled while signing in":  {session.ErrDisabled, "This account is disabled.", `{"code":"FORBIDDEN","reason":"ACCOUNT_DISABLED"}`},
		"the account is disabled":    {login.ErrDisabled, "This account is disabled.", `{"code":"FORBIDDEN","reason":"ACCOUNT_DISABLED"}`},
		"signed in too long ago":     {ErrReauthenticate, "Log in again, then repeat.", `{"code":"REAUTHENTICATION_REQUIRED"}`},
		"a wrong password":           {login.ErrInvalidCredentials, "Email or password is wrong.", `{"code":"INVALID_CREDENTIALS"}`},
		"refresh impossible":         {session.ErrEnded, "The session has ended. Sign in again.", `{"code":"SESSION_ENDED"}`},
		"refresh: a token came back": {&session.EndedError{Reason: session.EndedByReuse}, "The session has ended. Sign in again.", `{"code":"SESSION_ENDED"}`},
		"the address is taken": {user.ErrEmailTaken, "This email address is taken.",
			`{"code":"EMAIL_TAKEN","fields":[{"code":"EMAIL_TAKEN","field":"email","message":"This email address is taken."}]}`},
		"too many hashes":  {password.ErrOverloaded, "The server is busy. Try again.", overloaded},
		"too many streams": {session.ErrNoRoom, "The server is busy. Try again.", overloaded},
		"a stale view":     {session.ErrUncertain, "The server cannot tell at the moment. Try again.", overloaded},
		"too slow":         {context.DeadlineExceeded, "This took too long. Try again.", overloaded},
		"limited":          {&ratelimit.Error{RetryAfter: 61*time.Second + 1, Bucket: canary}, "Too many attempts. Try again later.", `{"code":"RATE_LIMITED","retryAfter":62}`},
		"limited for less": {&ratelimit.Error{RetryAfter: time.Millisecond}, "Too many attempts. Try again later.", `{"code":"RATE_LIMITED","retryAfter":1}`},
		"two mistakes": {&input.Error{Mistakes: []input.Mistake{{Field: "email", Code: input.Required, Message: "Enter it."}, {Field: "password", Code: "PASSWORD_TOO_SHORT", Message: "Longer."}}},
			"The input is not usable.", `{"code":"BAD_USER_INPUT","fields":[{"code":"REQUIRED","field":"email","message":"Enter it."},{"code":"PASSWORD_TOO_SHORT","field":"password","message":"Longer."}]}`},
		"anything else": {errors.New("pq: relation users, password=" + canary), "Something went wrong on our side.", `{"code":"INTERNAL","requestId":"request-1"}`},
		"cancelled":     {context.Canceled, "Something went wrong on our side.", `{"code":"INTERNAL","requestId":"request-1"}`},
	}
}

func TestErrorTable(t *testing.T) {
	for reason, want := range expected() {
		for wrapping, err := range map[string]error{"as it is": want.err, "wrapped": fmt.Errorf("store: %s: %w", canary, want.err)} {
			t.Run(reason+", "+wrapping, func(t *testing.T) {
				f := newFixture(t, HandlerConfig{})
				f.users.err = err
				w := f.post("{ who: me { id } }", nil)
				if w.Code != 200 || strings.Contains(w.Body.String(), canary) {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
				r := decode(t, w)
				if len(r.Errors) != 1 || len(r.Data) != 1 || r.Data["who"] != nil {
					t.Fatalf("%+v", r)
				}
				got, _ := json.Marshal(r.Errors[0].Extensions)
				if r.Errors[0].Message != want.message || string(got) != want.extensions || fmt.Sprint(r.Errors[0].Path) != "[who]" {
					t.Errorf("%+v\n%s", r.Errors[0], got)
				}
				ours := strings.Contains(want.extensions, "INTERNAL") && !errors.Is(err, context.Canceled)
				if logged := strings.Contains(f.log.String(), "level=ERROR"); logged != ours {
					t.Errorf("logged as our fault: %t\n%s", logged, &f.log)
				}
			})
		}
	}
	for _, row := range table {
		found := false
		for _, want := range expected() {
			found = found || want.err == row.err
		}
		if !found {
			t.Errorf("%v has no expectation here", row.err)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	for reason, test := range map[string]struct {
		err  error
		want string
	}{
		"limited":    {&ratelimit.Error{RetryAfter: 90 * time.Second}, "90"},
		"overloaded": {password.ErrOverloaded, "2"},
		"our fault":  {errors.New("x"), ""},
		"no error":   {nil, ""},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			f.users.err = test.err
			if got := f.post("{ me { id } }", nil).Header().Get("Retry-After"); got != test.want {
				t.Errorf("%q", got)
			}
		})
	}
	f := newFixture(t, HandlerConfig{})
	w := f.post(`mutation { login(input: {email: "a", password: "b"}) { accessToken } }`, nil)
	if w.Header().Get("Retry-After") != "2" || f.logins.calls != 1 { // 1.5 s, rounded up
		t.Errorf("%v", w.Header())
	}
}

func TestEndedSessionsTellTheReasonInDevelopmentOnly(t *testing.T) {
	for _, test := range []struct {
		reveal, crossSite bool
		extensions        string
		message           string
	}{
		{false, false, `{"code":"SESSION_ENDED"}`, "Not signed in: the request came without a refresh token."},
		{true, false, `{"code":"SESSION_ENDED","reason":"no_token"}`, "Not signed in: the request came without a refresh token."},
		{false, true, `{"code":"SESSION_ENDED","reason":"CROSS_SITE"}`, crossSite},
		{true, true, `{"code":"SESSION_ENDED","reason":"CROSS_SITE"}`, crossSite},
	} {
		f := newFixture(t, HandlerConfig{Reasons: test.reveal})
		f.req.CrossSite = test.crossSite
		r := decode(t, f.post("mutation { refresh { accessToken } }", nil))
		got, _ := json.Marshal(r.Errors[0].Extensions)
		if string(got) != test.extensions || r.Errors[0].Message != test.message {
			t.Errorf("%+v: %+v", test, r.Errors[0])
		}
	}
	f := newFixture(t, HandlerConfig{Reasons: true})
	f.req.CrossSite, f.users.err = true, &session.EndedError{Reason: session.EndedByIdle}
	if r := decode(t, f.post("{ me { id } }", nil)); r.Errors[0].Message == crossSite || r.Errors[0].Extensions["reason"] != "idle" {
		t.Errorf("a cookie did come, but the answer blames its absence: %+v", r.Errors[0])
	}
}

func TestPanicIsINTERNAL(t *testing.T) {
	f := newFixture(t, HandlerConfig{Reasons: true})
	f.users.panic = errors.New(canary)
	w := f.post("{ me { id } }", nil)
	if strings.Contains(w.Body.String()+f.log.String(), canary) || !strings.Contains(f.log.String(), "stack=") {
		t.Errorf("%s\n%s", w.Body, &f.log)
	}
	if r := decode(t, w); code(t, r) != "INTERNAL" || r.Errors[0].Extensions["requestId"] != "request-1" || len(r.Errors[0].Path) != 1 {
		t.Errorf("%+v", r)
	}
	w = httptest.NewRecorder()
	RefuseInternal(w, httptest.NewRequest("POST", "/graphql", nil).WithContext(reqctx.With(t.Context(), &reqctx.Request{ID: "request-2"})))
	if r := decode(t, w); w.Code != 200 || code(t, r) != "INTERNAL" || r.Errors[0].Extensions["requestId"] != "request-2" {
		t.Errorf("%+v", r)
	}
}

func TestAnswersShareNothing(t *testing.T) { // gqlgen writes the path into the error it is given; sentinels are shared
	f := newFixture(t, HandlerConfig{})
	f.users.err = ErrForbidden
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			alias := fmt.Sprintf("a%d", i)
			body := fmt.Sprintf(`{"query":"{ %s: me { id } other%s: me { id } }"}`, alias, alias)
			r := httptest.NewRequest("POST", "/graphql", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, r.WithContext(reqctx.With(r.Context(), signedIn())))
			paths := map[string]bool{}
			for _, e := range decode(t, w).Errors {
				paths[fmt.Sprint(e.Path)] = true
			}
			if len(paths) != 2 || !paths["["+alias+"]"] || !paths["[other"+alias+"]"] {
				t.Errorf("%s: %v", alias, paths)
			}
		})
	}
	work.Wait()
}

// Arguments that fit the schema's types but not Go's: gqlparser lets them pass.
func TestUnreadableArgumentsAreTheClientsMistake(t *testing.T) {
	f := newFixture(t, HandlerConfig{})
	document := "mutation L($input: LoginInput!) { login(input: $input) { accessToken } }"
	w := f.post(document, map[string]any{"input": map[string]any{"email": canary, "password": canary, "delivery": "cookie"}})
	r := decode(t, w)
	if code(t, r) != "GRAPHQL_VALIDATION_FAILED" || r.Errors[0].Message != "An argument does not fit its type." || f.logins.calls != 0 || f.log.Len() > 0 {
		t.Errorf("%+v\n%s", r, &f.log)
	}
	present := presenter(slog.New(slog.NewTextHandler(&f.log, nil)), HandlerConfig{})
	for reason, test := range map[string]struct {
		err    error
		args   map[string]any // nil: gqlgen could not read them
		want   string
		logged bool
	}{
		"a number out of range":      {errors.New(canary + " overflows a 32-bit integer"), nil, "GRAPHQL_VALIDATION_FAILED", false},
		"a team's own check":         {&input.Error{}, nil, "BAD_USER_INPUT", false},
		"a resolver that was called": {login.ErrInvalidCredentials, map[string]any{}, "INVALID_CREDENTIALS", false},
		"a resolver that failed":     {errors.New("away"), map[string]any{}, "INTERNAL", true},
		"a scalar that panicked":     {errPanic, nil, "INTERNAL", true},
	} {
		t.Run(reason, func(t *testing.T) {
			ctx := graphql.WithFieldContext(reqctx.With(t.Context(), signedIn()), fieldWithArgument(test.args))
			f.log.Reset()
			if out := present(ctx, graphql.ErrorOnPath(ctx, test.err)); codeOf(out) != test.want || (f.log.Len() > 0) != test.logged || strings.Contains(out.Message, canary) {
				t.Errorf("%+v", out)
			}
		})
	}
}
