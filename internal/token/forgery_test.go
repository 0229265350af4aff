package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// forgery is a token in the making. It starts as a genuine one, signed by the server's own key.
type forgery struct {
	method jwt.SigningMethod
	key    any
	header map[string]any
	claims jwt.MapClaims
}

func genuine(i *Issuer) *forgery {
	key, now := i.keys.set.Load().keys[0], time.Now()
	return &forgery{
		method: jwt.GetSigningMethod(string(key.algorithm)), key: key.private,
		header: map[string]any{"alg": string(key.algorithm), "typ": "at+jwt", "kid": key.id},
		claims: jwt.MapClaims{
			"iss": testURL, "aud": testAudience, "sub": testUser.String(), "sid": testSession.String(), "client_id": "latchkey",
			"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(), "auth_time": now.Unix(), "jti": "1", "roles": []string{"USER"},
		},
	}
}

func (f *forgery) sign(t testing.TB) string {
	t.Helper()
	text, err := (&jwt.Token{Method: f.method, Header: f.header, Claims: f.claims}).SignedString(f.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestForgeries(t *testing.T) {
	issuer := newIssuer(t, loadedRing(t, &fakeStore{}, ES256))
	if _, err := issuer.Verify(genuine(issuer).sign(t)); err != nil {
		t.Fatalf("the forger cannot even write a genuine token: %v", err)
	}
	for _, table := range []map[string]func(*forgery){
		algorithmForgeries(t), keyForgeries(t), claimForgeries(),
	} {
		for reason, forge := range table {
			t.Run(reason, func(t *testing.T) {
				f := genuine(issuer)
				forge(f)
				if a, err := issuer.Verify(f.sign(t)); !errors.Is(err, ErrAccessInvalid) || a.SessionID == testSession {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
	}
}

func algorithmForgeries(t *testing.T) map[string]func(*forgery) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(name string) func(*forgery) {
		return func(f *forgery) {
			f.method, f.key, f.header["alg"] = jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, name
		}
	}
	hmacWith := func(alg *jwt.SigningMethodHMAC, encode func(public crypto.PublicKey) []byte) func(*forgery) {
		return func(f *forgery) {
			f.method, f.key, f.header["alg"] = alg, encode(f.key.(crypto.Signer).Public()), alg.Name
		}
	}
	der := func(public crypto.PublicKey) []byte {
		out, _ := x509.MarshalPKIXPublicKey(public)
		return out
	}
	named := func(name any) func(*forgery) { return func(f *forgery) { f.header["alg"] = name } }
	return map[string]func(*forgery){
		"none":            unsigned("none"),
		"None":            unsigned("None"),
		"NONE":            unsigned("NONE"),
		"nOnE":            unsigned("nOnE"),
		"no alg at all":   func(f *forgery) { unsigned("")(f); delete(f.header, "alg") },
		"alg is a list":   named([]string{"ES256"}),
		"alg is null":     named(nil),
		"ES256 but none":  unsigned("ES256"),
		"lower-case es":   named("es256"),
		"mixed-case Es":   named("Es256"),
		"a blank behind":  named("ES256 "),
		"another curve":   named("ES384"),
		"another family":  named("EdDSA"),
		"deprecated name": named("Ed25519"),
		"HS256 signed with the public PEM": hmacWith(jwt.SigningMethodHS256, func(p crypto.PublicKey) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der(p)})
		}),
		"HS256 signed with the public DER": hmacWith(jwt.SigningMethodHS256, der),
		"HS512 signed with the public DER": hmacWith(jwt.SigningMethodHS512, der),
		"HS256 signed with nothing":        hmacWith(jwt.SigningMethodHS256, func(crypto.PublicKey) []byte { return []byte{} }),
		"RS256":                            func(f *forgery) { f.method, f.key, f.header["alg"] = jwt.SigningMethodRS256, rsaKey, "RS256" },
		"PS256":                            func(f *forgery) { f.method, f.key, f.header["alg"] = jwt.SigningMethodPS256, rsaKey, "PS256" },
	}
}

func keyForgeries(t *testing.T) map[string]func(*forgery) {
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strange, _ := publicJWK(stranger.Public())
	strangeID, _ := thumbprint(stranger.Public())
	head := func(name string, value any) func(*forgery) { return func(f *forgery) { f.header[name] = value } }
	strangerWith := func(name string, value any) func(*forgery) {
		return func(f *forgery) { f.key, f.header[name] = stranger, value }
	}
	return map[string]func(*forgery){
		"signed by a stranger under our kid":        func(f *forgery) { f.key = stranger },
		"an embedded key of the stranger's":         strangerWith("jwk", strange),
		"an embedded key under its own kid":         func(f *forgery) { strangerWith("jwk", strange)(f); f.header["kid"] = strangeID },
		"a link to the stranger's keys":             strangerWith("jku", "https://evil.example.com/jwks.json"),
		"a link to a certificate":                   strangerWith("x5u", "https://evil.example.com/cert.pem"),
		"an embedded certificate":                   strangerWith("x5c", []string{"MIIB"}),
		"no kid":                                    func(f *forgery) { delete(f.header, "kid") },
		"an empty kid":                              head("kid", ""),
		"a kid that is no text":                     head("kid", 1),
		"a kid that is a list":                      head("kid", []string{"x"}),
		"a kid that is a path":                      head("kid", "../../etc/passwd"),
		"a kid that is SQL":                         head("kid", "' OR 1=1 --"),
		"an unknown kid":                            head("kid", strangeID),
		"another type":                              head("typ", "JWT"),
		"an ID token":                               head("typ", "id+jwt"),
		"another spelling of the type":              head("typ", "AT+JWT"),
		"no type":                                   func(f *forgery) { delete(f.header, "typ") },
		"an extension that we do not understand":    head("crit", []string{"x"}),
		"no extension, but the header for them":     head("crit", []string{}),
		"crit is null":                              head("crit", nil),
		"a payload in clear, which crit would tell": func(f *forgery) { f.header["b64"], f.header["crit"] = false, []string{"b64"} },
	}
}

func claimForgeries() map[string]func(*forgery) {
	now := time.Now()
	claim := func(name string, value any) func(*forgery) { return func(f *forgery) { f.claims[name] = value } }
	without := func(names ...string) func(*forgery) {
		return func(f *forgery) {
			for _, name := range names {
				delete(f.claims, name)
			}
		}
	}
	both := func(a, b func(*forgery)) func(*forgery) { return func(f *forgery) { a(f); b(f) } }
	expired := both(claim("iat", now.Add(-time.Hour).Unix()), claim("exp", now.Add(-50*time.Minute).Unix()))
	return map[string]func(*forgery){
		"no issuer":                           without("iss"),
		"an empty issuer":                     claim("iss", ""),
		"another issuer":                      claim("iss", "https://evil.example.com"),
		"an issuer with a slash behind":       claim("iss", testURL+"/"),
		"an issuer in other letters":          claim("iss", strings.ToUpper(testURL)),
		"an issuer that is a list":            claim("iss", []string{testURL}),
		"no audience":                         without("aud"),
		"an empty audience":                   claim("aud", ""),
		"an empty list of audiences":          claim("aud", []string{}),
		"another audience":                    claim("aud", testURL),
		"a prefix of the audience":            claim("aud", "https://api.example"),
		"no expiry":                           without("exp"),
		"an expiry that is text":              claim("exp", "2999-01-01"),
		"an expiry that is null":              claim("exp", nil),
		"a day of life":                       claim("exp", now.Add(24*time.Hour).Unix()),
		"a second more than the longest life": claim("exp", now.Add(MaxAccessTTL+2*time.Second).Unix()),
		"a long life that began in the past":  claim("iat", now.Add(-MaxAccessTTL).Unix()),
		"no time of issue":                    without("iat"),
		"issued in two minutes":               claim("iat", now.Add(2*time.Minute).Unix()),
		"valid from two minutes on":           claim("nbf", now.Add(2*time.Minute).Unix()),
		"no time of authentication":           without("auth_time"),
		"no user":                             without("sub"),
		"a user that is no id":                claim("sub", "admin"),
		"no session":                          without("sid"),
		"a session that is no id":             claim("sid", "' OR 1=1 --"),
		"roles that are no list":              claim("roles", "ADMIN"),
		"nothing at all":                      func(f *forgery) { f.claims = jwt.MapClaims{} },
		"expired, and of another issuer":      both(expired, claim("iss", "https://evil.example.com")),
		"expired, and without an audience":    both(expired, without("aud")),
		"expired, and of a stranger's typ":    both(expired, func(f *forgery) { f.header["typ"] = "JWT" }),
	}
}

func TestExpiredIsToldFromInvalid(t *testing.T) { // a client refreshes in both cases, a log reader does not
	issuer := newIssuer(t, loadedRing(t, &fakeStore{}, ES256))
	f := genuine(issuer)
	f.claims["iat"], f.claims["exp"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-50*time.Minute).Unix()
	if _, err := issuer.Verify(f.sign(t)); !errors.Is(err, ErrAccessExpired) {
		t.Error(err)
	}
}

func TestClocksMayDisagreeALittle(t *testing.T) { // the leeway is symmetric
	synctest.Test(t, func(t *testing.T) {
		issuer := newIssuer(t, loadedRing(t, &fakeStore{}, ES256))
		for ahead, ok := range map[time.Duration]bool{29 * time.Second: true, 30 * time.Second: true, 31 * time.Second: false} {
			f := genuine(issuer)
			f.claims["iat"] = time.Now().Add(ahead).Unix()
			if _, err := issuer.Verify(f.sign(t)); (err == nil) != ok {
				t.Errorf("issued %v ahead: %v", ahead, err)
			}
		}
	})
}

func TestSpellings(t *testing.T) { // one token has one spelling
	for _, alg := range []Algorithm{ES256, EdDSA} {
		issuer := newIssuer(t, loadedRing(t, &fakeStore{}, alg))
		text := issue(t, issuer)
		parts := strings.Split(text, ".")
		// Re-encoding for a base64 that is not strict: the spare bits of the last character.
		last := strings.IndexByte(base64URL, text[len(text)-1])
		for spare := 1; spare < 16; spare++ {
			changed := text[:len(text)-1] + string(base64URL[last^spare])
			if _, err := issuer.Verify(changed); !errors.Is(err, ErrAccessInvalid) {
				t.Errorf("%s: bits %04b of the last character are free: %v", alg, spare, err)
			}
		}
		signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
		for reason, changed := range map[string]string{
			"nothing":                     "",
			"one part":                    parts[0],
			"two parts":                   parts[0] + "." + parts[1],
			"no signature":                parts[0] + "." + parts[1] + ".",
			"four parts":                  text + ".",
			"padding":                     text + "==",
			"the standard alphabet":       parts[0] + "." + parts[1] + "." + base64.StdEncoding.EncodeToString(signature),
			"a line break in the middle":  text[:len(text)-9] + "\n" + text[len(text)-9:],
			"a line break at the end":     text + "\r\n",
			"a blank in front":            " " + text,
			"twice":                       text + text,
			"a longer signature":          text + "AAAA",
			"a shorter signature":         text[:len(text)-4],
			"another claim, signature as": parts[0] + "." + parts[1][:40] + "A" + parts[1][41:] + "." + parts[2],
			"a refresh token":             NewRefreshCodec(testMaster(t)).Encode(someRefresh()).Reveal(),
			"more than 4 KiB":             parts[0] + "." + parts[1] + "." + strings.Repeat("A", maxAccessBytes),
		} {
			if _, err := issuer.Verify(changed); !errors.Is(err, ErrAccessInvalid) {
				t.Errorf("%s, %s: %v", alg, reason, err)
			}
		}
		if _, err := NewRefreshCodec(testMaster(t)).Decode(NewSecret(text)); !errors.Is(err, ErrRefreshInvalid) {
			t.Errorf("an access token refreshes: %v", err)
		}
	}
}

func TestDotsAreCheap(t *testing.T) { // R-54, CVE-2025-30204
	issuer := newIssuer(t, loadedRing(t, &fakeStore{}, ES256))
	for reason, size := range map[string]int{"1 MiB": 1 << 20, "just within the limit": maxAccessBytes} {
		dots := string(bytes.Repeat([]byte("."), size))
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if _, err := issuer.Verify(dots); !errors.Is(err, ErrAccessInvalid) {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > 3*maxAccessBytes {
			t.Errorf("%s of dots allocates %d bytes", reason, got)
		}
	}
}

func FuzzVerify(f *testing.F) {
	issuer := newIssuer(f, loadedRing(f, &fakeStore{}, ES256))
	text := issue(f, issuer)
	f.Add("")
	f.Add("..")
	f.Add(text)
	f.Add(header(text) + "." + part(text, 1) + ".")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, changed string) {
		if a, err := issuer.Verify(changed); err == nil && changed != text {
			t.Fatalf("accepted %q as %+v", changed, a)
		} else if err != nil && !errors.Is(err, ErrAccessInvalid) && !errors.Is(err, ErrAccessExpired) {
			t.Fatal(err)
		}
	})
}
