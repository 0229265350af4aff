package httpserver

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/internal/token"
)

// cookieName follows the public URL: __Host- makes browsers insist on Secure, Path=/ and no
// Domain; Safari takes no Secure cookie from http on loopback.
func cookieName(secure bool) string {
	if secure {
		return "__Host-refresh"
	}
	return "refresh"
}

func refreshCookie(r *http.Request, secure bool) token.Secret {
	c, err := r.Cookie(cookieName(secure))
	if err != nil {
		return token.Secret{}
	}
	return token.NewSecret(c.Value)
}

// cookieJar implements reqctx.Cookies.
type cookieJar struct {
	header    http.Header
	secure    bool
	crossSite bool
}

func (j *cookieJar) Set(refresh token.Secret, maxAge time.Duration) {
	j.write(refresh.Reveal(), max(int(maxAge/time.Second), 1))
}

func (j *cookieJar) Clear() { j.write("", -1) }

func (j *cookieJar) write(value string, maxAge int) {
	c := &http.Cookie{
		Name: cookieName(j.secure), Value: value, Path: "/", MaxAge: maxAge,
		Secure: j.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if j.crossSite {
		c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	}
	// The last word of a request counts: browsers need not keep the order of two.
	isOurs := func(line string) bool { return strings.HasPrefix(line, c.Name+"=") }
	j.header["Set-Cookie"] = append(slices.DeleteFunc(j.header["Set-Cookie"], isOurs), c.String())
}
