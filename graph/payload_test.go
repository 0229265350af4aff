package graph

import (
	"errors"
	"testing"
	"time"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
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
