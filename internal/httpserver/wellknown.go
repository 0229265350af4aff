package httpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// healthz answers as long as the process serves.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz answers 503 while guarded fields cannot be served.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	if err := s.about.Ready(ctx); err != nil {
		s.log.WarnContext(r.Context(), "not ready", "error", err)
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// jwks publishes the public keys (RFC 7517).
func (s *server) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(s.cfg.JWKSMaxAge.Seconds())))
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(s.about.JWKS())
}

// discovery is what stock libraries need to find issuer and keys (OpenID Connect Discovery 1.0,
// section 3); there are no OpenID endpoints.
func (s *server) discovery(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(s.cfg.JWKSMaxAge.Seconds())))
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                s.cfg.PublicURL,
		"jwks_uri":                              s.cfg.PublicURL + "/.well-known/jwks.json",
		"response_types_supported":              []string{},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": s.about.Algorithms(),
		"latchkey_revocations_uri":              s.cfg.PublicURL + "/revocations", // ours, of no standard
	})
}

// revocations publishes which sessions have ended. Whoever keeps a copy asks again before each
// use; a replica that cannot tell says so rather than serve an old list.
func (s *server) revocations(w http.ResponseWriter, r *http.Request) {
	feed, err := s.about.Feed()
	if err != nil {
		s.log.WarnContext(r.Context(), "the ended sessions cannot be told", "error", err)
		w.Header().Set("Retry-After", "5")
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "the server cannot tell at the moment"})
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Type", "application/jwt")
	w.Header().Set("ETag", `W/"`+feed.Tag+`"`) // weak: no two signatures of one list are the same
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(feed.JWS))
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
