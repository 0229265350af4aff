// Command verify is a service that knows its users by the access tokens of Latchkey:
//
//	ISSUER=http://localhost:8080 ADDR=127.0.0.1:8081 go run .
//	curl -H "Authorization: Bearer $token" http://127.0.0.1:8081/hello
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	issuer := cmp.Or(os.Getenv("ISSUER"), "http://localhost:8080") // the server's public URL
	v := &verifier{issuer: issuer, audience: issuer}
	go v.keepUpToDate()
	http.HandleFunc("GET /hello", v.guard(func(w http.ResponseWriter, _ *http.Request, who claims) {
		answer(w, http.StatusOK, map[string]any{"user": who.Subject, "roles": who.Roles})
	}))
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8081"))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("http://%s/hello", listener.Addr())
	log.Fatal((&http.Server{ReadHeaderTimeout: 5 * time.Second}).Serve(listener))
}

// guard lets requests with a good access token through to next.
func (v *verifier) guard(next func(http.ResponseWriter, *http.Request, claims)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := v.verify(r.Header.Get("Authorization"))
		switch {
		case errors.Is(err, errUnknown): // this says nothing of the token: the client keeps it
			w.Header().Set("Retry-After", "5")
			answer(w, http.StatusServiceUnavailable, map[string]any{"error": "cannot tell who you are, try again"})
		case err != nil: // the client refreshes once, and repeats
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, map[string]any{"error": "not signed in"})
		default:
			next(w, r, who)
		}
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
