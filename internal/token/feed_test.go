package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// verifier is another service: all it has is the published keys, and the checks that the README
// asks for. typ tells what it takes a token for.
func verifier(t *testing.T, ring *Keyring, typ string) func(text string, options ...jwt.ParserOption) (jwt.MapClaims, error) {
	t.Helper()
	var set struct {
		Keys []struct{ Kid, X, Y string }
	}
	if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	keys := map[string]*ecdsa.PublicKey{}
	for _, k := range set.Keys {
		point := []byte{4} // uncompressed
		for _, half := range []string{k.X, k.Y} {
			raw, err := base64.RawURLEncoding.DecodeString(half)
			if err != nil {
				t.Fatal(err)
			}
			point = append(point, raw...)
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			t.Fatal(err)
		}
		keys[k.Kid] = key
	}
	return func(text string, options ...jwt.ParserOption) (jwt.MapClaims, error) {
		claims := jwt.MapClaims{}
		options = append(options, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(testURL), jwt.WithExpirationRequired())
		_, err := jwt.NewParser(options...).ParseWithClaims(text, claims, func(j *jwt.Token) (any, error) {
			if j.Header["typ"] != typ {
				return nil, errors.New("another type")
			}
			return keys[j.Header["kid"].(string)], nil
		})
		return claims, err
	}
}

func TestFeedSaysExactlyThis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(44 * time.Second) // in the middle of a step
		issuer := newIssuer(t, loadedRing(t, &fakeStore{}, ES256))
		other := uuid.MustParse("0190a5d6-7c1e-7000-8000-0000000000bb")
		feed, err := issuer.Feed([]uuid.UUID{other, testSession})
		if err != nil {
			t.Fatal(err)
		}
		kid := issuer.keys.set.Load().keys[0].id
		if got, want := header(feed.JWS), `{"alg":"ES256","kid":"`+kid+`","typ":"revocations+jwt"}`; got != want {
			t.Errorf("header %s", got)
		}
		if got, want := part(feed.JWS, 1), `{"iss":"https://auth.example.com","exp":946684890,"iat":946684830,"sids":["`+testSession.String()+`","`+other.String()+`"]}`; got != want {
			t.Errorf("claims %s", got)
		}
		same, _ := issuer.Feed([]uuid.UUID{testSession, other})
		empty, _ := issuer.Feed(nil)
		if same.Tag != feed.Tag || empty.Tag == feed.Tag || part(empty.JWS, 1) != `{"iss":"https://auth.example.com","exp":946684890,"iat":946684830,"sids":[]}` {
			t.Errorf("tags %s, %s, %s; empty: %s", feed.Tag, same.Tag, empty.Tag, part(empty.JWS, 1))
		}
		// A copy is good for half a minute at least, and for a minute at most.
		verify := verifier(t, issuer.keys, "revocations+jwt")
		for _, step := range []struct {
			wait time.Duration
			old  bool
			good bool
		}{{0, false, true}, {15 * time.Second, false, true}, {time.Second, true, true}, {29 * time.Second, true, true}, {time.Second, true, false}} {
			time.Sleep(step.wait)
			if _, err := verify(feed.JWS); (err == nil) != step.good || issuer.IsOld(feed, time.Now()) != step.old {
				t.Errorf("%v: %v, old %t", time.Now(), err, issuer.IsOld(feed, time.Now()))
			}
		}
	})
	if _, err := newIssuer(t, NewKeyring(&fakeStore{}, Master{}, ES256)).Feed(nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
}

// neither is taken for the other, by us or by a service that checks what it should.
func TestFeedIsNoAccessToken(t *testing.T) {
	issuer := newIssuer(t, loadedRing(t, &fakeStore{}, ES256))
	feed, err := issuer.Feed([]uuid.UUID{testSession})
	if err != nil {
		t.Fatal(err)
	}
	access := issue(t, issuer)
	if _, err := issuer.Verify(feed.JWS); !errors.Is(err, ErrAccessInvalid) {
		t.Errorf("a feed as access token: %v", err)
	}
	asFeed, asAccess := verifier(t, issuer.keys, "revocations+jwt"), verifier(t, issuer.keys, "at+jwt")
	if claims, err := asFeed(feed.JWS); err != nil || claims["sids"].([]any)[0] != testSession.String() {
		t.Errorf("the feed: %v, %v", claims, err)
	}
	if _, err := asAccess(access, jwt.WithAudience(testAudience)); err != nil {
		t.Errorf("the access token: %v", err)
	}
	if _, err := asFeed(access); err == nil {
		t.Error("an access token as feed")
	}
	if _, err := asAccess(feed.JWS); err == nil {
		t.Error("a feed as access token elsewhere")
	}
	// A service that forgets the type still asks for its audience.
	if _, err := verifier(t, issuer.keys, "revocations+jwt")(feed.JWS, jwt.WithAudience(testAudience)); err == nil {
		t.Error("a feed has an audience")
	}
}

// whoever holds a feed that a removed key has signed is not told that it is still good.
func TestFeedTagNamesItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := []uuid.UUID{testSession}
		first, err := newIssuer(t, loadedRing(t, &fakeStore{}, ES256)).Feed(ended)
		if err != nil {
			t.Fatal(err)
		}
		second, err := newIssuer(t, loadedRing(t, &fakeStore{}, ES256)).Feed(ended)
		if err != nil || first.Tag == second.Tag {
			t.Errorf("one tag for two keys: %v", err)
		}
	})
}
