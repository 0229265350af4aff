package httpserver

import (
	"net/http"
	"strings"

	"latchkey/internal/reqctx"
	"latchkey/internal/token"
)

// authenticate turns a Bearer token into the context's principal. A bad one refuses nothing:
// signing in, refreshing and logging out must work with it; a guarded field answers
// with the reason.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := reqctx.From(r.Context())
		accessToken, err := bearer(r.Header.Values("Authorization"))
		if err == nil {
			req.Principal, err = s.auth.Authenticate(accessToken)
		}
		req.AuthErr = err
		next.ServeHTTP(w, r)
	})
}

// bearer reads the access token from the only place it may stand: one Authorization
// header. "" means that there is none.
func bearer(headers []string) (string, error) {
	if len(headers) > 1 {
		return "", token.ErrAccessInvalid
	}
	if len(headers) == 0 {
		return "", nil
	}
	scheme, value, _ := strings.Cut(strings.TrimSpace(headers[0]), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	return strings.TrimSpace(value), nil
}
