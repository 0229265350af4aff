package graph

import (
	"errors"
	"testing"
	"time"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
	"latchkey/internal/token"
)

// slot counts what happens to the cookie.
type slot struct{ set, cleared int }

func (s *slot) Set(token.Secret, time.Duration) { s.set++ }
func (s *slot) Clear()                          { s.cleared++ }

func TestSignedOut(t *testing.T) {
	for reason, test := range map[string]struct {
		delivery model.RefreshTokenDelivery
		err      error
		cleared  int
	}{
		"the session of the cookie is over":                        {model.RefreshTokenDeliveryCookie, nil, 1},
		"it could not be ended: the cookie is needed to try again": {model.RefreshTokenDeliveryCookie, errors.New("away"), 0},
		"another session is over, named in the body":               {model.RefreshTokenDeliveryBody, nil, 0},
	} {
		s := &slot{}
		if done := signedOut(&reqctx.Request{Cookies: s}, test.delivery, test.err); done != (test.err == nil) || s.cleared != test.cleared || s.set != 0 {
			t.Errorf("%s: done %t, %+v", reason, done, s)
		}
	}
}
