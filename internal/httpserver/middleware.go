package httpserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"latchkey/internal/ratelimit"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
)

// identify starts what is known of a request: an id and the client.
func (s *server) identify(next http.Handler) http.Handler {
	var warned sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer := parseHop(r.RemoteAddr); r.Header.Get("X-Forwarded-For") != "" && (peer.IsPrivate() || peer.IsLoopback()) && !contains(s.cfg.TrustedProxies, peer) {
			warned.Do(func() {
				s.log.Warn("X-Forwarded-For comes from a proxy that LATCHKEY_TRUSTED_PROXIES does not name: all its clients share one rate limit",
					"proxy", peer.String())
			})
		}
		req := &reqctx.Request{
			ID: rand.Text(),
			Client: session.Client{
				Address:   clientAddress(r.RemoteAddr, r.Header.Values("X-Forwarded-For"), s.cfg.TrustedProxies),
				UserAgent: clip(r.UserAgent(), 256),
				Device:    readCookie(r, deviceName(s.cfg.Secure)),
			},
			AuthErr:   session.ErrNoToken,
			CrossSite: r.Header.Get("Sec-Fetch-Site") == "cross-site",
			Cookies:   &cookieJar{header: w.Header(), secure: s.cfg.Secure, crossSite: s.cfg.SameSiteNone},
			Refresh:   readCookie(r, cookieName(s.cfg.Secure)),
		}
		w.Header().Set("X-Request-Id", req.ID)
		next.ServeHTTP(w, r.WithContext(reqctx.With(r.Context(), req)))
	})
}

// clip shortens foreign text to visible, valid UTF-8 of at most n bytes.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text[:min(len(text), n)], "")
	return strings.Map(func(r rune) rune {
		// What cannot be seen could rearrange the line, or drive the terminal, that it is shown in.
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
}

// clientAddress is the peer's address, or, if the peer is a trusted proxy, the first address
// from the right of X-Forwarded-For that is none. A hop that is no address ends the
// walk. The zero Addr means that there is no telling.
func clientAddress(peer string, forwarded []string, proxies []netip.Prefix) netip.Addr {
	address := parseHop(peer)
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !contains(proxies, address) {
			break
		}
		next := parseHop(strings.TrimSpace(hop))
		if !next.IsValid() {
			break
		}
		address = next
	}
	return address
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

func parseHop(text string) netip.Addr {
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}
		}
		address = withPort.Addr()
	}
	return address.Unmap().WithZone("")
}

// observe writes one line per request, and turns a panic into INTERNAL.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				s.crashed(rec, r, p)
			}
			level := slog.LevelInfo
			switch r.URL.Path {
			case "/healthz", "/readyz", "/revocations": // asked every few seconds
				level = slog.LevelDebug
			}
			// The query string is left out: GET carries documents and variables there.
			attrs := []slog.Attr{
				slog.String("method", r.Method), slog.String("path", clip(r.URL.Path, 200)),
				slog.Int("status", rec.status), slog.Int("bytes", rec.bytes),
				slog.Duration("took", time.Since(start)),
			}
			if notes := reqctx.From(r.Context()).Notes(); len(notes) > 0 {
				attrs = append(attrs, slog.String("graphql", strings.Join(notes, " ")))
			}
			s.log.LogAttrs(r.Context(), level, "request", attrs...)
		}()
		next.ServeHTTP(rec, r)
	})
}

func (s *server) crashed(rec *recorder, r *http.Request, p any) {
	if p == http.ErrAbortHandler {
		panic(p)
	}
	// The value may hold anything that was in hand; its type and the stack are enough.
	s.log.ErrorContext(r.Context(), "panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	if rec.status == 0 {
		s.api.Crashed(rec, r)
	}
}

type recorder struct {
	http.ResponseWriter
	status, bytes int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// secureHeaders sets what every answer carries; a page may set a policy of its own.
func (s *server) secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if s.cfg.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		next.ServeHTTP(w, r)
	})
}

// checkOrigin refuses pages that are not on the list before anything is parsed. What
// sends neither Origin nor Sec-Fetch-Site is no browser and passes.
func (s *server) checkOrigin(next http.Handler) http.Handler {
	forbid := func(w http.ResponseWriter, r *http.Request) {
		s.noteOrigin(r)
		message := "This origin may not call the API. The server's operator can allow it with LATCHKEY_ALLOWED_ORIGINS."
		if _, host, _ := strings.Cut(r.Header.Get("Origin"), "://"); host == r.Host {
			message = "The server has another address than LATCHKEY_PUBLIC_URL says. It has to be what the address bar shows, or be listed in LATCHKEY_ALLOWED_ORIGINS."
		}
		s.api.Refuse(w, r, http.StatusForbidden, message)
	}
	protection := http.NewCrossOriginProtection()
	for _, origin := range s.cfg.AllowedOrigins {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			panic(err) // config has checked each one
		}
	}
	protection.SetDenyHandler(http.HandlerFunc(forbid))
	protected := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The protection lets every page of the same site and host through; the list is exact.
		origins := r.Header.Values("Origin")
		if len(origins) > 1 || (len(origins) == 1 && !slices.Contains(s.cfg.AllowedOrigins, origins[0])) {
			forbid(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// noteOrigin tells the operator what the browser's console does not.
func (s *server) noteOrigin(r *http.Request) {
	s.log.WarnContext(r.Context(), "origin refused: allow it by adding it to LATCHKEY_ALLOWED_ORIGINS",
		"origin", clip(r.Header.Get("Origin"), 200))
}

// bound limits a request in size. The API bounds what it runs in time: a stream has no limit.
func (s *server) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// limit charges every request to its session, or to the address of a caller without one: so
// nobody at the same address can keep a session from being used. It comes before anything
// is parsed; what a field costs is charged by the field.
func (s *server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req := reqctx.From(r.Context())
		caller := req.Principal.SessionID
		if caller == uuid.Nil {
			caller = s.auth.Holder(req.Refresh)
		}
		key := caller.String()
		if caller == uuid.Nil {
			key = ratelimit.AddressKey(req.Client.Address)
		}
		_, err := s.limiter.Reserve(r.Context(), s.cfg.Limits.Charge(ratelimit.Requests, key))
		var limited *ratelimit.Error
		switch {
		case errors.As(err, &limited):
			s.api.Limited(w, r, limited.RetryAfter)
		case r.Context().Err() != nil: // nobody waits for an answer
		case err != nil:
			panic(err) // config has checked the rate
		default:
			next.ServeHTTP(w, r)
		}
	})
}
