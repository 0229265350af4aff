package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

const (
	testURL      = "https://auth.example.com"
	testAudience = "https://api.example.com"
)

var (
	testUser    = uuid.MustParse("7b9e2f4c-1111-4222-8333-944455556666")
	testSession = uuid.MustParse("0190a5d6-7c1e-7000-8000-0000000000aa")
)

func newIssuer(t testing.TB, ring *Keyring) *Issuer {
	t.Helper()
	i, err := NewIssuer(ring, IssuerConfig{Issuer: testURL, Audience: testAudience, ClientID: "latchkey", TTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func someAccess() Access {
	return Access{UserID: testUser, SessionID: testSession, Roles: []string{"USER", "ADMIN"}, AuthTime: time.Now().Add(-time.Hour).Truncate(time.Second)}
}

func issue(t testing.TB, i *Issuer) string {
	t.Helper()
	secret, _, err := i.Issue(someAccess())
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

func part(text string, n int) string {
	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[n])
	return string(raw)
}

func header(text string) string { return part(text, 0) }

func TestAccessTokenSaysExactlyThis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond) // no whole second
		issuer := newIssuer(t, loadedRing(t, &fakeStore{}, ES256))
		text := issue(t, issuer)
		var head, claims map[string]any
		if err := errors.Join(json.Unmarshal([]byte(header(text)), &head), json.Unmarshal([]byte(part(text, 1)), &claims)); err != nil {
			t.Fatal(err)
		}
		kid := issuer.keys.set.Load().keys[0].id
		if want := map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": kid}; !maps.Equal(head, want) {
			t.Errorf("header %v", head)
		}
		if _, err := uuid.Parse(claims["jti"].(string)); err != nil {
			t.Errorf("jti %v", claims["jti"])
		}
		claims["jti"], claims["exp"] = "…", claims["exp"].(float64) > 946684800+569
		golden := `{"aud":["https://api.example.com"],"auth_time":946681200,"client_id":"latchkey","exp":true,"iat":946684800,` +
			`"iss":"https://auth.example.com","jti":"…","roles":["USER","ADMIN"],"sid":"0190a5d6-7c1e-7000-8000-0000000000aa",` +
			`"sub":"7b9e2f4c-1111-4222-8333-944455556666"}`
		if got, _ := json.Marshal(claims); string(got) != golden {
			t.Errorf("claims\n%s, want\n%s", got, golden)
		}
		got, err := issuer.Verify(text)
		want := someAccess()
		if err != nil || got.UserID != want.UserID || got.SessionID != want.SessionID ||
			!slices.Equal(got.Roles, want.Roles) || !got.AuthTime.Equal(time.Unix(946681200, 0)) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestLifetimes(t *testing.T) {
	for reason, ttl := range map[string]time.Duration{
		"the default": 10 * time.Minute, "the longest": MaxAccessTTL, "short, as in tests": 10 * time.Second,
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(700 * time.Millisecond)
				issuer, err := NewIssuer(loadedRing(t, &fakeStore{}, EdDSA), IssuerConfig{testURL, testAudience, "c", ttl})
				if err != nil {
					t.Fatal(err)
				}
				lives, ids := map[time.Duration]bool{}, map[string]bool{}
				for range 1000 {
					secret, left, err := issuer.Issue(someAccess())
					if err != nil {
						t.Fatal(err)
					}
					var c struct {
						Iat, Exp int64
						Jti      string
						AuthTime int64 `json:"auth_time"`
					}
					if err := json.Unmarshal([]byte(part(secret.Reveal(), 1)), &c); err != nil {
						t.Fatal(err)
					}
					life := time.Duration(c.Exp-c.Iat) * time.Second
					if life > ttl || life < ttl*95/100-time.Second {
						t.Fatalf("lives for %v", life)
					}
					if time.Now().Add(left).After(time.Unix(c.Exp, 0)) || left < ttl*9/10-time.Second || left%time.Second != 0 {
						t.Fatalf("expiresIn %v promises more than exp %v", left, life)
					}
					if ids[c.Jti] || c.AuthTime != someAccess().AuthTime.Unix() {
						t.Fatalf("%+v", c)
					}
					lives[life], ids[c.Jti] = true, true
				}
				if ttl >= time.Minute && len(lives) < 10 {
					t.Errorf("%d lifetimes: tabs would refresh together", len(lives))
				}
			})
		})
	}
}

func TestIssuerNeedsAWholeConfiguration(t *testing.T) { // golang-jwt takes "" for "do not check"
	good := IssuerConfig{testURL, testAudience, "latchkey", time.Minute}
	for reason, change := range map[string]func(*IssuerConfig){
		"no issuer":              func(c *IssuerConfig) { c.Issuer = "" },
		"no audience":            func(c *IssuerConfig) { c.Audience = "" },
		"no client id":           func(c *IssuerConfig) { c.ClientID = "" },
		"no lifetime":            func(c *IssuerConfig) { c.TTL = 0 },
		"a lifetime in the past": func(c *IssuerConfig) { c.TTL = -time.Minute },
		"less than a second":     func(c *IssuerConfig) { c.TTL = time.Millisecond },
		"longer than R-50 says":  func(c *IssuerConfig) { c.TTL = MaxAccessTTL + 1 },
		"nothing":                func(c *IssuerConfig) { *c = IssuerConfig{} },
	} {
		t.Run(reason, func(t *testing.T) {
			cfg := good
			change(&cfg)
			if i, err := NewIssuer(NewKeyring(nil, testMaster(t), ES256), cfg); err == nil || i != nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := NewIssuer(NewKeyring(nil, testMaster(t), ES256), good); err != nil {
		t.Error(err)
	}
}

func TestExpiry(t *testing.T) { // leeway is at most 30 s, for shorter lives a twentieth
	for reason, test := range map[string]struct{ ttl, leeway time.Duration }{
		"ten minutes":    {10 * time.Minute, 30 * time.Second},
		"five minutes":   {5 * time.Minute, 15 * time.Second},
		"twenty seconds": {20 * time.Second, time.Second},
	} {
		for cached, look := range map[string]bool{", verified for the first time": false, ", out of the cache": true} {
			t.Run(reason+cached, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					issuer, err := NewIssuer(loadedRing(t, &fakeStore{}, ES256), IssuerConfig{testURL, testAudience, "c", test.ttl})
					if err != nil {
						t.Fatal(err)
					}
					text := issue(t, issuer)
					var c struct{ Exp int64 }
					_ = json.Unmarshal([]byte(part(text, 1)), &c)
					time.Sleep(time.Until(time.Unix(c.Exp, 0).Add(test.leeway - time.Millisecond)))
					for range 2 { // the second time out of the cache
						if _, err := issuer.Verify(text); look && err != nil {
							t.Fatalf("within the leeway: %v", err)
						}
					}
					time.Sleep(2 * time.Millisecond)
					if !look {
						issuer.keys.set.Load().verified.Purge()
					}
					if a, err := issuer.Verify(text); !errors.Is(err, ErrAccessExpired) || a.UserID != uuid.Nil {
						t.Errorf("after it: %+v, %v", a, err)
					}
				})
			})
		}
	}
}

func TestVerifiedCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		ring := loadedRing(t, store, ES256)
		issuer := newIssuer(t, ring)
		text := issue(t, issuer)
		reads := store.reads
		for range 100 {
			if _, err := issuer.Verify(text); err != nil {
				t.Fatal(err)
			}
		}
		if store.reads != reads {
			t.Error("verifying reads the database")
		}
		cache := ring.set.Load().verified
		if cache.Len() != 1 {
			t.Errorf("%d entries for one token", cache.Len())
		}
		mustLoad(t, ring)
		if ring.set.Load().verified != cache {
			t.Error("the same keys again: the cache was lost for nothing")
		}
		if _, err := issuer.Verify(text[:len(text)-4] + "AAAA"); !errors.Is(err, ErrAccessInvalid) || cache.Len() != 1 {
			t.Errorf("a bad token is remembered: %d entries, %v", cache.Len(), err)
		}
		replacement, _ := newStoredKey(testMaster(t), ES256, 2)
		store.keys = []StoredKey{replacement}
		mustLoad(t, ring)
		if _, err := issuer.Verify(text); !errors.Is(err, ErrAccessInvalid) {
			t.Errorf("the removed key lives on in the cache: %v", err)
		}
	})
}

func TestIssuerOfAnEmptyKeyringTrustsNobody(t *testing.T) {
	text := issue(t, newIssuer(t, loadedRing(t, &fakeStore{}, ES256)))
	if _, err := newIssuer(t, NewKeyring(nil, testMaster(t), ES256)).Verify(text); !errors.Is(err, ErrAccessInvalid) {
		t.Error(err)
	}
}
