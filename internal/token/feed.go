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
}

// Old reports whether it is time for the next feed.
func (f Feed) Old(now time.Time) bool { return !now.Truncate(feedStep).Equal(f.made) }

// feedClaims has neither sub nor aud: whatever mistakes a feed for an access token must miss
// something.
type feedClaims struct {
	jwt.RegisteredClaims
	SessionIDs []string `json:"sids"`
}

// Feed signs a list of ended sessions. Errors: ErrNoKey.
func (i *Issuer) Feed(ended []uuid.UUID) (Feed, error) {
	set := i.keys.set.Load()
	if set == nil {
		return Feed{}, ErrNoKey
	}
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
	jws, err := set.sign(feedType, claims, now)
	if err != nil {
		return Feed{}, err
	}
	sum := sha256.Sum256(text)
	return Feed{JWS: jws, Tag: base64.RawURLEncoding.EncodeToString(sum[:16]), made: made}, nil
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
