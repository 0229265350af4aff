package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Algorithm is a JWS algorithm that access tokens may be signed with.
type Algorithm string

// The algorithms, as RFC 7518 and RFC 8037 name them.
const (
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
)

// ErrAlgorithm: not one of the algorithms above.
var ErrAlgorithm = errors.New("token: the algorithm is neither ES256 nor EdDSA")

// StoredKey is a signing key as the database keeps it: readable by whoever has the master
// secret, and by nobody else.
type StoredKey struct {
	ID         string // RFC 7638 thumbprint; the `kid` of its tokens
	Generation int64  // 1, 2, 3 …: unique, so that two processes cannot add one key each
	Algorithm  Algorithm
	SealedKey  []byte    // PKCS #8, sealed under PurposeSigningSeal with ID as context
	ActiveAt   time.Time // signs from here on; published before
}

// signingKey is a key ready for use. It is bound to one algorithm.
type signingKey struct {
	id         string
	generation int64
	algorithm  Algorithm
	private    crypto.Signer
	activeAt   time.Time
}

// newStoredKey makes a fresh key pair and seals it.
func newStoredKey(m Master, alg Algorithm, generation int64) (StoredKey, error) {
	private, id, err := newKeyPair(alg)
	// On a command line an id with a dash in front would be a flag.
	for err == nil && strings.HasPrefix(id, "-") {
		private, id, err = newKeyPair(alg)
	}
	if err != nil {
		return StoredKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return StoredKey{}, fmt.Errorf("token: encode a signing key: %w", err)
	}
	return StoredKey{ID: id, Generation: generation, Algorithm: alg, SealedKey: m.Seal(PurposeSigningSeal, der, id)}, nil
}

func newKeyPair(alg Algorithm) (crypto.Signer, string, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, "", ErrAlgorithm
	}
	if err != nil {
		return nil, "", fmt.Errorf("token: make a signing key: %w", err)
	}
	id, err := thumbprint(private.Public())
	return private, id, err
}

// open unseals a stored key and checks that it is what its row says. Errors: ErrOtherMaster,
// ErrAlgorithm, or the decoder's.
func (k StoredKey) open(m Master) (signingKey, error) {
	der, err := m.Open(PurposeSigningSeal, k.SealedKey, k.ID)
	if err != nil {
		return signingKey{}, fmt.Errorf("%w: %s", ErrOtherMaster, k.ID)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return signingKey{}, fmt.Errorf("token: decode signing key %s: %w", k.ID, err)
	}
	out := signingKey{id: k.ID, generation: k.Generation, algorithm: k.Algorithm, activeAt: k.ActiveAt}
	switch key := parsed.(type) {
	case *ecdsa.PrivateKey:
		if k.Algorithm == ES256 && key.Curve == elliptic.P256() {
			out.private = key
			return out, nil
		}
	case ed25519.PrivateKey:
		if k.Algorithm == EdDSA {
			out.private = key
			return out, nil
		}
	}
	return signingKey{}, fmt.Errorf("token: signing key %s does not fit its algorithm: %w", k.ID, ErrAlgorithm)
}

// jwk is the public half of a key (RFC 7517); it has no private members to leak.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y,omitempty"`
	ID        string `json:"kid,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Use       string `json:"use,omitempty"`
}

func publicJWK(public crypto.PublicKey) (jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4 ‖ X ‖ Y
		if err != nil {
			return jwk{}, fmt.Errorf("token: encode a public key: %w", err)
		}
		half := (len(point) - 1) / 2
		return jwk{KeyType: "EC", Curve: "P-256", X: b64(point[1 : 1+half]), Y: b64(point[1+half:])}, nil
	case ed25519.PublicKey:
		return jwk{KeyType: "OKP", Curve: "Ed25519", X: b64(key)}, nil
	}
	return jwk{}, ErrAlgorithm
}

// thumbprint is the SHA-256 JWK thumbprint of RFC 7638, base64url.
func thumbprint(public crypto.PublicKey) (string, error) {
	k, err := publicJWK(public)
	if err != nil {
		return "", err
	}
	// The required members in lexical order, without spaces (RFC 7638 section 3).
	members := fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q}`, k.Curve, k.KeyType, k.X)
	if k.Y != "" {
		members = fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q,"y":%q}`, k.Curve, k.KeyType, k.X, k.Y)
	}
	sum := sha256.Sum256([]byte(members))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// marshalJWKS returns the JWK Set of the public halves (RFC 7517 section 5).
func marshalJWKS(keys []signingKey) ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		public, err := publicJWK(k.private.Public())
		if err != nil {
			return nil, err
		}
		public.ID, public.Algorithm, public.Use = k.id, string(k.algorithm), "sig"
		set.Keys = append(set.Keys, public)
	}
	return json.Marshal(set)
}
