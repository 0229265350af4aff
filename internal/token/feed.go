package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	feedType = "revocations+jwt"
	feedLife = time.Minute
	// A feed is made in steps of feedStep, so that all replicas make the same one, and is
	// followed by the next while it is good for at least as long.
	feedStep = 30 * time.Second
)

// Feed is a signed list of ended sessions, for services that verify access tokens themselves.
type Feed struct {
	JWS  string // compact serialisation
	Tag  string // names what the feed says; replicas that know the same sessions agree on it
	made time.Time
	kid  string // of the key that signed it
}

// IsOld reports whether it is time for the next feed, or whether another key signs by now: one
// that was removed verifies nothing any more.
func (i *Issuer) IsOld(f Feed, now time.Time) bool {
	set := i.keys.set.Load()
	return !now.Truncate(feedStep).Equal(f.made) || set == nil || len(set.keys) == 0 || set.signer(now).id != f.kid
}

// feedClaims has neither sub nor aud: whatever mistakes a feed for an access token must miss
// something.
type feedClaims struct {
	jwt.RegisteredClaims
	SessionIDs []string `json:"sids"`
}

// Feed signs a list of ended sessions. Errors: ErrNoKey.
func (i *Issuer) Feed(ended []uuid.UUID) (Feed, error) {
	now := time.Now()
	made := now.Truncate(feedStep)
	claims := feedClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    i.cfg.Issuer,
			IssuedAt:  jwt.NewNumericDate(made),
			ExpiresAt: jwt.NewNumericDate(made.Add(feedLife)),
		},
		SessionIDs: make([]string, len(ended)),
	}
	for n, id := range slices.SortedFunc(slices.Values(ended), compareIDs) {
		claims.SessionIDs[n] = id.String()
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return Feed{}, err
	}
	jws, kid, err := i.keys.set.Load().sign(feedType, claims, now)
	if err != nil {
		return Feed{}, err
	}
	// With the key: a copy that a removed one has signed is not to be kept.
	sum := sha256.Sum256(append(text, kid...))
	return Feed{JWS: jws, Tag: base64.RawURLEncoding.EncodeToString(sum[:16]), made: made, kid: kid}, nil
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
