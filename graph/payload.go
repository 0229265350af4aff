package graph

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// ownUser packs the user of a principal.
func ownUser(u user.User, err error) (*model.User, error) {
	if errors.Is(err, user.ErrNotFound) {
		err = ErrGone
	}
	return userModel(u, err)
}

func userModel(u user.User, err error) (*model.User, error) {
	if err != nil {
		return nil, err
	}
	out := &model.User{
		ID: u.ID.String(), Email: u.Email, EmailVerified: u.EmailVerified,
		Roles: make([]model.Role, len(u.Roles)), CreatedAt: u.CreatedAt.UTC(),
	}
	if u.Name != "" {
		out.Name = &u.Name
	}
	for i, r := range u.Roles {
		out.Roles[i] = model.Role(r)
	}
	return out, nil
}

// userRoles keeps the difference between no list and an empty one.
func userRoles(roles []model.Role) []user.Role {
	if roles == nil {
		return nil
	}
	out := make([]user.Role, len(roles))
	for i, r := range roles {
		out[i] = user.Role(r)
	}
	return out
}

func sessionModels(list []session.Session, current uuid.UUID, err error) ([]model.Session, error) {
	if err != nil {
		return nil, err
	}
	out := make([]model.Session, len(list))
	for i, s := range list {
		out[i] = model.Session{
			ID: s.ID.String(), Current: s.ID == current,
			CreatedAt: s.CreatedAt.UTC(), LastUsedAt: s.LastUsedAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(),
		}
		if s.Client.Address.IsValid() {
			address := s.Client.Address.String()
			out[i].Address = &address
		}
		if s.Client.UserAgent != "" {
			out[i].UserAgent = &s.Client.UserAgent
		}
	}
	return out, nil
}

// authPayload packs a grant. The refresh token leaves in the cookie or in the body, never in
// both.
func authPayload(req *reqctx.Request, g session.Grant, delivery model.RefreshTokenDelivery, err error) (*model.AuthPayload, error) {
	if err != nil {
		return nil, err
	}
	u, err := userModel(g.User, nil)
	out := &model.AuthPayload{
		AccessToken: g.Access.Reveal(), ExpiresIn: int(g.AccessTTL / time.Second), SessionID: g.SessionID.String(), User: u,
	}
	switch {
	case delivery == model.RefreshTokenDeliveryBody:
		refresh := g.Refresh.Reveal()
		out.RefreshToken = &refresh
	case !g.Unchanged:
		req.Cookies.Set(g.Refresh, g.RefreshTTL)
	}
	if delivery == model.RefreshTokenDeliveryCookie && !g.Device.Empty() {
		req.Cookies.Remember(g.Device, token.DeviceTTL)
	}
	return out, err
}

// replaced is the refresh token of the session that a sign-in takes the cookie from.
func replaced(req *reqctx.Request, delivery model.RefreshTokenDelivery) token.Secret {
	if delivery == model.RefreshTokenDeliveryCookie {
		return req.Refresh
	}
	return token.Secret{}
}

// presented is the refresh token of a request, from the argument or else from the cookie, and
// how its successor travels: the way it came.
func presented(req *reqctx.Request, argument *string) (token.Secret, model.RefreshTokenDelivery) {
	if argument != nil {
		return token.NewSecret(*argument), model.RefreshTokenDeliveryBody
	}
	return req.Refresh, model.RefreshTokenDeliveryCookie
}

// signedOut clears the cookie of a session that has ended, and reports whether it has. Where the
// token came in the body and a cookie beside it, that one is of another session, which goes on.
func signedOut(req *reqctx.Request, delivery model.RefreshTokenDelivery, err error) bool {
	if err == nil && (delivery == model.RefreshTokenDeliveryCookie || req.Refresh.Empty()) {
		req.Cookies.Clear()
	}
	return err == nil
}
