package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// verifier verifies access tokens by a copy of what the server publishes.
type verifier struct {
	issuer, audience string
	copy             atomic.Pointer[published]
	polling          sync.Mutex
	polled           time.Time
	failed           error
}

type published struct {
	keys  jose.JSONWebKeySet
	ended []string // sessions
	until time.Time
	tag   string
}

type claims struct {
	jwt.Claims
	SessionID string   `json:"sid"`
	Roles     []string `json:"roles"`
	Ended     []string `json:"sids"` // in the feed
}

var errUnknown = errors.New("it is not known which sessions have ended")

// verify answers what a good access token says. With errUnknown nothing is known of it.
func (v *verifier) verify(authorization string) (who claims, err error) {
	scheme, token, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return claims{}, errors.New("no token")
	}
	for range 2 {
		c := v.copy.Load()
		if c == nil || time.Now().After(c.until) {
			return claims{}, errUnknown
		}
		who, err = parse(token, "at+jwt", c.keys, jwt.Expected{Issuer: v.issuer, AnyAudience: jwt.Audience{v.audience}})
		if err == nil && slices.Contains(c.ended, who.SessionID) {
			return claims{}, errors.New("the session has ended")
		}
		if !errors.Is(err, jose.ErrJWKSKidNotFound) {
			break
		}
		if v.poll() != nil { // or it is a new key
			return claims{}, errUnknown
		}
	}
	return who, err
}

func parse(token, typ string, keys jose.JSONWebKeySet, want jwt.Expected) (out claims, err error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA})
	if err != nil {
		return out, err
	}
	if err := parsed.Claims(keys, &out); err != nil { // verifies the signature
		return out, err
	}
	if got := parsed.Headers[0].ExtraHeaders[jose.HeaderType]; got != typ || out.Expiry == nil {
		return out, fmt.Errorf("not %s but %v, or without exp", typ, got)
	}
	return out, out.ValidateWithLeeway(want, 2*time.Second)
}

func (v *verifier) keepUpToDate() {
	for ; ; time.Sleep(3 * time.Second) {
		if err := v.poll(); err != nil {
			log.Println("the last copy is good until it expires:", err)
		}
	}
}

// poll fetches keys and feed, once a second at most, whatever keys strangers make up.
func (v *verifier) poll() (err error) {
	v.polling.Lock()
	defer v.polling.Unlock()
	if time.Since(v.polled) < time.Second {
		return v.failed
	}
	defer func() { v.polled, v.failed = time.Now(), err }()
	next := published{}
	if last := v.copy.Load(); last != nil {
		next.ended, next.until, next.tag = last.ended, last.until, last.tag
	}
	keys, _, err := v.get("/.well-known/jwks.json", "")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(keys, &next.keys); err != nil {
		return err
	}
	text, tag, err := v.get("/revocations", next.tag)
	if err != nil {
		return err
	}
	if text != nil {
		feed, err := parse(string(text), "revocations+jwt", next.keys, jwt.Expected{Issuer: v.issuer})
		if err != nil {
			return fmt.Errorf("a bad feed: %w", err)
		}
		next.ended, next.until, next.tag = feed.Ended, feed.Expiry.Time(), tag
	}
	v.copy.Store(&next)
	return nil
}

// get answers nil for what has not changed.
func (v *verifier) get(path, tag string) ([]byte, string, error) {
	req, err := http.NewRequest(http.MethodGet, v.issuer+path, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("If-None-Match", tag)
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return nil, "", nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s: %s", path, resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	return body, resp.Header.Get("ETag"), err
}
