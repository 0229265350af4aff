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

// deviceName is the same for the mark of a known device, which outlives sessions.
func deviceName(secure bool) string {
	if secure {
		return "__Host-device"
	}
	return "device"
}

func readCookie(r *http.Request, name string) token.Secret {
	c, err := r.Cookie(name)
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
	j.write(cookieName(j.secure), refresh.Reveal(), max(int(maxAge/time.Second), 1))
}

func (j *cookieJar) Clear() { j.write(cookieName(j.secure), "", -1) }

func (j *cookieJar) Remember(device token.Secret, maxAge time.Duration) {
	j.write(deviceName(j.secure), device.Reveal(), int(maxAge/time.Second))
}

func (j *cookieJar) write(name, value string, maxAge int) {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure: j.secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if j.crossSite {
		c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	}
	// The last word of a request counts: browsers need not keep the order of two.
	isOurs := func(line string) bool { return strings.HasPrefix(line, c.Name+"=") }
	j.header["Set-Cookie"] = append(slices.DeleteFunc(j.header["Set-Cookie"], isOurs), c.String())
}
