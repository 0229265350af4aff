package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// front is the address of a server, which can be away, and publishes what a test wants.
type front struct {
	url string
	key signer // published beside the server's own

	mu    sync.Mutex
	proxy *httputil.ReverseProxy
	away  bool
	last  bool // away once feeds is empty
	more  []signer
	feeds []string // what the next polls get
	asked map[string]int
	poked chan struct{} // closed at the next poll
	held  *heldAnswer   // the next one of GraphQL
}

// heldAnswer is an answer that the server has given, and that is on its way for long.
type heldAnswer struct{ given, released chan struct{} }

func newFront(t *testing.T) *front {
	f := &front{key: newSigner(t), asked: map[string]int{}, poked: make(chan struct{})}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// serve says where the server is.
func (f *front) serve(address string) {
	target, _ := url.Parse(address)
	f.change(func(f *front) { f.proxy = httputil.NewSingleHostReverseProxy(target) })
	f.proxy.ModifyResponse = func(res *http.Response) error {
		if res.Request.URL.Path == "/graphql" {
			f.mu.Lock()
			held := f.held
			f.held = nil
			f.mu.Unlock()
			if held != nil {
				close(held.given)
				<-held.released
			}
		}
		if res.Request.URL.Path != "/.well-known/jwks.json" {
			return nil
		}
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
			return err
		}
		f.mu.Lock()
		for _, s := range append([]signer{f.key}, f.more...) {
			set.Keys = append(set.Keys, s.jwk())
		}
		f.mu.Unlock()
		body, err := json.Marshal(set)
		res.Body, res.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
		res.Header.Set("Content-Length", fmt.Sprint(len(body)))
		return err
	}
}

func (f *front) change(how func(*front)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(f)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked[r.URL.Path]++
	away, feed := f.away, ""
	if r.URL.Path == "/revocations" {
		if r.Header.Get("If-None-Match") != "" {
			f.asked["If-None-Match"]++
		}
		if len(f.feeds) > 0 {
			feed, f.feeds = f.feeds[0], f.feeds[1:]
			f.away = f.last && len(f.feeds) == 0
		}
		close(f.poked)
		f.poked = make(chan struct{})
	}
	f.mu.Unlock()
	switch {
	case away:
		panic(http.ErrAbortHandler)
	case feed != "":
		_, _ = io.WriteString(w, feed)
	default:
		f.proxy.ServeHTTP(w, r)
	}
}

// hold keeps the next answer of GraphQL back.
func (f *front) hold() *heldAnswer {
	held := &heldAnswer{make(chan struct{}), make(chan struct{})}
	f.change(func(f *front) { f.held = held })
	return held
}

// poll returns when the service has asked for the feed.
func (f *front) poll() {
	f.mu.Lock()
	poked := f.poked
	f.mu.Unlock()
	<-poked
}

func (f *front) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

func (f *front) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.feeds)
}

// claims are those of a good access token, and others; nil leaves one out.
func (f *front) claims(others map[string]any) jwt.MapClaims {
	out := jwt.MapClaims{"iss": f.url, "aud": f.url, "sub": uuid.NewString(), "sid": uuid.NewString(),
		"roles": []string{"USER"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(out, others)
	maps.DeleteFunc(out, func(_ string, value any) bool { return value == nil })
	return out
}

// signer is a signing key of the test's own.
type signer struct {
	t   *testing.T
	id  string
	key *ecdsa.PrivateKey
}

func newSigner(t *testing.T) signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, uuid.NewString(), key}
}

func (s signer) sign(claims jwt.MapClaims, typ string) string {
	return s.write(claims, typ, jwt.SigningMethodES256, s.key)
}

// forge makes an access token, or a feed, as one without the key would.
func (s signer) forge(claims jwt.MapClaims, method jwt.SigningMethod, key any) string {
	typ := "at+jwt"
	if claims["sids"] != nil {
		typ = "revocations+jwt"
	}
	if raw, ok := key.(json.RawMessage); ok {
		key = []byte(raw)
	}
	return s.write(claims, typ, method, key)
}

func (s signer) write(claims jwt.MapClaims, typ string, method jwt.SigningMethod, key any) string {
	s.t.Helper()
	jot := jwt.NewWithClaims(method, claims)
	jot.Header["typ"], jot.Header["kid"] = typ, s.id
	out, err := jot.SignedString(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s signer) jwk() json.RawMessage {
	point, err := s.key.PublicKey.Bytes()
	if err != nil {
		s.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return json.RawMessage(fmt.Sprintf(`{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"%s","x":"%s","y":"%s"}`, s.id, encode(point[1:33]), encode(point[33:])))
}

func (s signer) pem() []byte {
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
