package token

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Errors of Verify.
var (
	// ErrAccessInvalid: not an access token of ours for this audience.
	ErrAccessInvalid = errors.New("token: invalid access token")
	// ErrAccessExpired: it was good, and its time is over.
	ErrAccessExpired = errors.New("token: expired access token")
)

const (
	accessType     = "at+jwt" // RFC 9068 section 2.1
	maxAccessBytes = 4 << 10

	verifiedFor     = time.Minute
	verifiedEntries = 10_000
)

// Access is what an access token says: ids and roles, no other personal data.
type Access struct {
	UserID    uuid.UUID // sub
	SessionID uuid.UUID // sid
	Roles     []string
	AuthTime  time.Time // when the user last proved who they are; a refresh does not move it
	Until     time.Time // of a verified token: when it stops being accepted, leeway included
}

// IssuerConfig says what an Issuer writes and accepts. All fields are required.
type IssuerConfig struct {
	Issuer   string        // iss: the public URL
	Audience string        // aud
	ClientID string        // client_id (RFC 9068 section 2.2)
	TTL      time.Duration // at most MaxAccessTTL
}

// Issuer signs access tokens and verifies them (RFC 9068).
type Issuer struct {
	keys   *Keyring
	cfg    IssuerConfig
	leeway time.Duration
	parser *jwt.Parser
}

// NewIssuer checks cfg: golang-jwt would take an empty issuer or audience for "do not check"
//
func NewIssuer(keys *Keyring, cfg IssuerConfig) (*Issuer, error) {
	if cfg.Issuer == "" || cfg.Audience == "" || cfg.ClientID == "" {
		return nil, errors.New("token: issuer, audience and client id are required")
	}
	if cfg.TTL < time.Second || cfg.TTL > MaxAccessTTL {
		return nil, fmt.Errorf("token: the life of an access token is %v, not between 1s and %v", cfg.TTL, MaxAccessTTL)
	}
	leeway := min(MaxLeeway, cfg.TTL/20)
	return &Issuer{keys: keys, cfg: cfg, leeway: leeway, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{string(ES256), string(EdDSA)}),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
	)}, nil
}

type accessClaims struct {
	jwt.RegisteredClaims
	ClientID  string           `json:"client_id"`
	SessionID string           `json:"sid"`
	AuthTime  *jwt.NumericDate `json:"auth_time"`
	Roles     []string         `json:"roles"`
}

// Issue signs an access token and says how long it lives from now, in whole seconds.
// Lifetimes are up to 5 % shorter than the setting, so that tabs do not refresh all at once
// . Errors: ErrNoKey.
func (i *Issuer) Issue(a Access) (Secret, time.Duration, error) {
	now := time.Now()
	issued := now.Truncate(time.Second)
	jitter := rand.Int64N(int64(i.cfg.TTL/20/time.Second) + 1)
	expires := issued.Add(i.cfg.TTL - time.Duration(jitter)*time.Second)
	signed, _, err := i.keys.set.Load().sign(accessType, accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    i.cfg.Issuer,
			Subject:   a.UserID.String(),
			Audience:  jwt.ClaimStrings{i.cfg.Audience},
			IssuedAt:  jwt.NewNumericDate(issued),
			ExpiresAt: jwt.NewNumericDate(expires),
			ID:        uuid.NewString(),
		},
		ClientID:  i.cfg.ClientID,
		SessionID: a.SessionID.String(),
		AuthTime:  jwt.NewNumericDate(a.AuthTime),
		Roles:     a.Roles,
	}, now)
	if err != nil {
		return Secret{}, 0, err
	}
	return NewSecret(signed), max(expires.Sub(now).Truncate(time.Second), time.Second), nil
}

// KeysAge is how long ago the keys were read that Verify trusts.
func (i *Issuer) KeysAge() time.Duration { return i.keys.Age() }

// sign makes a JWS of a type with the key that signs at an instant, and answers the key's id. The
// type keeps one kind of token from being taken for another. Errors: ErrNoKey.
func (s *keySet) sign(typ string, claims jwt.Claims, now time.Time) (jws, kid string, err error) {
	if s == nil || len(s.keys) == 0 {
		return "", "", ErrNoKey
	}
	key := s.signer(now)
	jot := jwt.NewWithClaims(jwt.GetSigningMethod(string(key.algorithm)), claims)
	jot.Header["typ"], jot.Header["kid"] = typ, key.id
	signed, err := jot.SignedString(key.private)
	if err != nil {
		return "", "", fmt.Errorf("token: sign: %w", err)
	}
	return signed, key.id, nil
}

// Verify checks a token's signature, type, issuer, audience, times and identifiers (R-44 to
// R-50), with no network or database read. A token that was good less than a minute ago is
// not verified again. Errors: ErrAccessExpired, ErrAccessInvalid.
func (i *Issuer) Verify(raw string) (Access, error) {
	set := i.keys.set.Load()
	// base64 skips line breaks even in its strict form: one token has one spelling.
	if set == nil || raw == "" || len(raw) > maxAccessBytes || strings.ContainsAny(raw, "\r\n") {
		return Access{}, ErrAccessInvalid
	}
	now := time.Now()
	digest := sha256.Sum256([]byte(raw))
	if v, ok := set.verified.Get(digest); ok && now.Before(v.until) {
		if now.After(v.access.Until) {
			return Access{}, ErrAccessExpired
		}
		return v.access, nil
	}
	access, err := i.verify(set, raw)
	if err != nil {
		return Access{}, err
	}
	set.verified.Add(digest, verified{access: access, until: now.Add(verifiedFor)})
	return access, nil
}

func (i *Issuer) verify(set *keySet, raw string) (Access, error) {
	var claims accessClaims
	_, err := i.parser.ParseWithClaims(raw, &claims, func(t *jwt.Token) (any, error) {
		// golang-jwt checks neither typ nor crit; keys come by kid from the local
		// set alone, each bound to its algorithm.
		_, crit := t.Header["crit"]
		kid, _ := t.Header["kid"].(string)
		key, known := set.byID(kid)
		if crit || t.Header["typ"] != accessType || !known || t.Method.Alg() != string(key.algorithm) {
			return nil, ErrAccessInvalid
		}
		return key.private.Public(), nil
	})
	// jwt joins all that is wrong: a token that is also otherwise invalid is not just expired.
	if errors.Is(err, jwt.ErrTokenExpired) && onlyExpired(err) {
		return Access{}, ErrAccessExpired
	}
	if err != nil {
		return Access{}, ErrAccessInvalid
	}
	userID, err1 := uuid.Parse(claims.Subject)
	sessionID, err2 := uuid.Parse(claims.SessionID)
	if err1 != nil || err2 != nil || claims.AuthTime == nil || claims.IssuedAt == nil ||
		claims.ExpiresAt.Sub(claims.IssuedAt.Time) > MaxAccessTTL {
		return Access{}, ErrAccessInvalid
	}
	return Access{
		UserID: userID, SessionID: sessionID, Roles: claims.Roles, AuthTime: claims.AuthTime.Time,
		Until: claims.ExpiresAt.Add(i.leeway),
	}, nil
}

// onlyExpired reports whether expiry is the only thing wrong with a token whose signature was
// good (golang-jwt validates claims after the signature and joins their errors).
func onlyExpired(err error) bool {
	return !errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenInvalidAudience) &&
		!errors.Is(err, jwt.ErrTokenRequiredClaimMissing) && !errors.Is(err, jwt.ErrTokenUsedBeforeIssued) &&
		!errors.Is(err, jwt.ErrTokenNotValidYet)
}

// verified is a remembered result of verify.
type verified struct {
	access Access
	until  time.Time // of this entry
}

// verifiedCache is keyed by the token's SHA-256, so that memory holds no usable token.
type verifiedCache = lru.Cache[[sha256.Size]byte, verified]

func newVerifiedCache() *verifiedCache {
	cache, err := lru.New[[sha256.Size]byte, verified](verifiedEntries)
	if err != nil {
		panic(err) // only for a size below one
	}
	return cache
}
