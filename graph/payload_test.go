package graph

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// slot counts what happens to the cookie.
type slot struct{ set, cleared, remembered int }

func (s *slot) Set(token.Secret, time.Duration)      { s.set++ }
func (s *slot) Clear()                               { s.cleared++ }
func (s *slot) Remember(token.Secret, time.Duration) { s.remembered++ }

// only a browser that keeps its refresh token in a cookie is marked as known, and only
// when it signs in.
func TestAuthPayloadCookies(t *testing.T) {
	for reason, test := range map[string]struct {
		grant           session.Grant
		delivery        model.RefreshTokenDelivery
		set, remembered int
	}{
		"a browser signs in":  {session.Grant{Device: token.NewSecret("mark")}, model.RefreshTokenDeliveryCookie, 1, 1},
		"a browser refreshes": {session.Grant{}, model.RefreshTokenDeliveryCookie, 1, 0},
		"its copy is current": {session.Grant{Unchanged: true}, model.RefreshTokenDeliveryCookie, 0, 0},
		"an app signs in":     {session.Grant{Device: token.NewSecret("mark")}, model.RefreshTokenDeliveryBody, 0, 0},
	} {
		s := &slot{}
		if _, err := authPayload(&reqctx.Request{Cookies: s}, test.grant, test.delivery, nil); err != nil || s.set != test.set || s.remembered != test.remembered {
			t.Errorf("%s: %+v, %v", reason, s, err)
		}
	}
}

func TestUpdateProfile(t *testing.T) {
	const document = `mutation($name: String) { updateProfile(name: $name) { id name } }`
	named := func(name any) map[string]any {
		return map[string]any{"updateProfile": map[string]any{"id": signedIn().Principal.UserID.String(), "name": name}}
	}
	nothing := map[string]any{"updateProfile": nil}
	for reason, test := range map[string]struct {
		document  string
		variables map[string]any
		caller    *reqctx.Request
		err       error
		data      map[string]any
		code      string
	}{
		"a name":                {document, map[string]any{"name": " Ada Lovelace "}, signedIn(), nil, named("Ada Lovelace"), ""},
		"null removes it":       {document, map[string]any{"name": nil}, signedIn(), nil, named(nil), ""},
		"and so does nothing":   {`mutation { updateProfile { id name } }`, nil, signedIn(), nil, named(nil), ""},
		"and what is blank":     {document, map[string]any{"name": "  "}, signedIn(), nil, named(nil), ""},
		"an unusable name":      {document, map[string]any{"name": "a\x00"}, signedIn(), nil, nothing, "BAD_USER_INPUT"},
		"nobody":                {document, map[string]any{"name": "Eve"}, &reqctx.Request{AuthErr: session.ErrNoToken, Cookies: noCookies{}}, nil, nothing, "UNAUTHENTICATED"},
		"a user who is gone":    {document, map[string]any{"name": "Ada"}, signedIn(), user.ErrNotFound, nothing, "UNAUTHENTICATED"},
		"a database that is so": {document, map[string]any{"name": "Ada"}, signedIn(), errors.New("away"), nothing, "INTERNAL"},
	} {
		f := newFixture(t, HandlerConfig{})
		f.req, f.users.err = test.caller, test.err
		got := decode(t, f.post(test.document, test.variables))
		if !reflect.DeepEqual(got.Data, test.data) || code(t, got) != test.code {
			t.Errorf("%s: %v, want %v %s", reason, got, test.data, test.code)
		}
		if test.code == "BAD_USER_INPUT" {
			want := []any{map[string]any{"field": "name", "code": "INVALID", "message": "The name contains a character that is not allowed."}}
			if got := got.Errors[0].Extensions["fields"]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v", reason, got)
			}
		}
	}
}

func TestSignedOut(t *testing.T) {
	for reason, test := range map[string]struct {
		delivery model.RefreshTokenDelivery
		cookie   string
		err      error
		cleared  int
	}{
		"the session of the cookie is over":                        {model.RefreshTokenDeliveryCookie, "its", nil, 1},
		"nobody has a cookie, and it goes all the same":            {model.RefreshTokenDeliveryCookie, "", nil, 1},
		"a session is over, named in the body, and no cookie came": {model.RefreshTokenDeliveryBody, "", nil, 1},
		"it could not be ended: the cookie is needed to try again": {model.RefreshTokenDeliveryCookie, "its", errors.New("away"), 0},
		"another session is over, named in the body":               {model.RefreshTokenDeliveryBody, "another", nil, 0},
	} {
		s := &slot{}
		if done := signedOut(&reqctx.Request{Cookies: s, Refresh: token.NewSecret(test.cookie)}, test.delivery, test.err); done != (test.err == nil) || s.cleared != test.cleared || s.set != 0 {
			t.Errorf("%s: done %t, %+v", reason, done, s)
		}
	}
}
