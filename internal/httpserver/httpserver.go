// Package httpserver lets in what may speak to the API and answers nothing else.
package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/rs/cors"

	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/token"
)

const (
	maxBody   = 64 << 10
	maxHeader = 32 << 10
)

// Authenticator turns an access token into the principal it stands for.
type Authenticator interface {
	Authenticate(accessToken string) (session.Principal, error)
	// Holder answers the session of a genuine refresh token, or uuid.Nil.
	Holder(presented token.Secret) uuid.UUID
}

// Limiter reserves a request before it is served.
type Limiter interface {
	Reserve(ctx context.Context, charges ...ratelimit.Charge) (*ratelimit.Reservation, error)
}

// About is what the server tells of itself.
type About interface {
	// JWKS answers what other services verify access tokens with.
	JWKS() []byte
	Algorithms() []token.Algorithm
	// Feed answers which sessions have ended, signed, or session.ErrUncertain.
	Feed() (token.Feed, error)
	// Ready says why the server cannot do its work, or nil.
	Ready(context.Context) error
}

// API is the GraphQL handler with the form that its refusals have.
type API struct {
	Handler http.Handler
	// Refuse and Limited answer a request before it reaches Handler; Crashed answers one that
	// panicked.
	Refuse  func(w http.ResponseWriter, r *http.Request, status int, message string)
	Limited func(w http.ResponseWriter, r *http.Request, retryAfter time.Duration)
	Crashed func(w http.ResponseWriter, r *http.Request)
}

// Config says where the server stands. PublicURL is an origin without a trailing slash.
type Config struct {
	PublicURL      string
	Secure         bool     // PublicURL is https
	AllowedOrigins []string // exact, PublicURL's own included
	TrustedProxies []netip.Prefix
	SameSiteNone   bool // for pages of another site; needs Secure
	JWKSMaxAge     time.Duration
	Limits         ratelimit.Limits // Requests
	// Pages are embedded ones by their ServeMux pattern. They stand outside the API's chain: what
	// they answer is the same for everybody, and they override the headers that they know better.
	Pages map[string]http.Handler
}

// New assembles all routes.
func New(api API, auth Authenticator, about About, limiter Limiter, log *slog.Logger, cfg Config) http.Handler {
	s := &server{api: api, auth: auth, about: about, limiter: limiter, log: log, cfg: cfg}
	mux := http.NewServeMux()
	mux.Handle("/graphql", s.graphql())
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /.well-known/jwks.json", s.jwks)
	mux.HandleFunc("GET /.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /revocations", s.revocations)
	for pattern, page := range cfg.Pages {
		mux.Handle(pattern, page)
	}
	return s.identify(s.observe(s.secureHeaders(mux)))
}

// NewServer wraps a handler with limits on everything a peer can be slow at.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // TLS noise and broken peers
	}
}

type server struct {
	api     API
	auth    Authenticator
	about   About
	limiter Limiter
	log     *slog.Logger
	cfg     Config
}

// graphql is the chain in front of the API: who may call comes before what is called.
func (s *server) graphql() http.Handler {
	crossOrigin := cors.New(cors.Options{
		// Not its own list, for which "*" and an empty list mean everybody.
		AllowOriginVaryRequestFunc: func(r *http.Request, origin string) (bool, []string) {
			allowed := slices.Contains(s.cfg.AllowedOrigins, origin)
			if !allowed && r.Method == http.MethodOptions {
				s.noteOrigin(r)
			}
			return allowed, nil
		},
		AllowedMethods:   []string{http.MethodGet, http.MethodPost},
		AllowedHeaders:   []string{"content-type", "authorization"},
		ExposedHeaders:   []string{"Retry-After"},
		AllowCredentials: true,
		MaxAge:           7200,
	})
	return crossOrigin.Handler(s.checkOrigin(s.bound(s.authenticate(s.limit(s.api.Handler)))))
}
