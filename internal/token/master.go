package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MinMasterBytes is the least length of the master secret.
const MinMasterBytes = 32

// Errors of the master secret.
var (
	// ErrWeakMaster: the master secret is short, a placeholder or not random, or given
	// twice.
	ErrWeakMaster = errors.New("token: the master secret is not usable")
	// ErrUnsealable: sealed data was not sealed under this master secret, or was changed.
	ErrUnsealable = errors.New("token: sealed under another master secret")
)

// Purpose labels one use of the master secret, so that no key serves two.
// The text is part of the derivation and never changes once released.
type Purpose string

// The purposes in use.
const (
	PurposeRefreshTag  Purpose = "latchkey/v1/refresh-token-tag"
	PurposeSigningSeal Purpose = "latchkey/v1/signing-key-seal"
	PurposeAccountKey  Purpose = "latchkey/v1/account-pseudonym"
	PurposeLimitKey    Purpose = "latchkey/v1/rate-limit-key"
	PurposeDeviceTag   Purpose = "latchkey/v1/device-tag"
)

// Master is the one secret of an installation. Every other key is derived from it with
// HKDF-SHA256 (RFC 5869) under a label of its own. While one secret replaces another it
// carries both, see With.
type Master struct{ secret, other []byte }

// Format implements fmt.Formatter: a key prints as nothing.
func (Master) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// ParseMaster reads base64 text (standard or URL alphabet, padded or not) of at least
// MinMasterBytes bytes. Errors wrap ErrWeakMaster and never repeat the text.
func ParseMaster(text string) (Master, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	secret, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		secret, err = base64.RawURLEncoding.Strict().DecodeString(text)
	}
	if err != nil {
		return Master{}, fmt.Errorf("%w: it is not base64", ErrWeakMaster)
	}
	return NewMaster(secret)
}

// NewMaster checks and takes raw bytes. Errors wrap ErrWeakMaster.
func NewMaster(secret []byte) (Master, error) {
	if len(secret) < MinMasterBytes {
		return Master{}, fmt.Errorf("%w: it has %d bytes, at least %d are needed", ErrWeakMaster, len(secret), MinMasterBytes)
	}
	if looksMadeUp(secret) {
		return Master{}, fmt.Errorf("%w: it is a placeholder, not random bytes; make one with: openssl rand -base64 32", ErrWeakMaster)
	}
	return Master{secret: slices.Clone(secret)}, nil
}

// looksMadeUp catches what gets copied from examples: one letter repeated, counted-up bytes,
// "change-me". 32 random bytes hold fewer than 12 distinct values about once in 10^16 draws.
func looksMadeUp(secret []byte) bool {
	distinct := slices.Compact(slices.Sorted(slices.Values(secret)))
	text := strings.ToLower(string(secret))
	isPlaceholder := func(word string) bool { return strings.Contains(text, word) }
	return len(distinct) < 12 || isSequence(secret) ||
		slices.ContainsFunc([]string{"change", "secret", "example", "password", "placeholder"}, isPlaceholder)
}

func isSequence(b []byte) bool {
	for i := 2; i < len(b); i++ {
		if b[i]-b[i-1] != b[1]-b[0] {
			return false
		}
	}
	return true
}

// With returns m beside another secret, which is read but never used for anything new, while
// one of the two replaces the other; the zero Master is no other. Errors wrap ErrWeakMaster: a
// secret does not replace itself.
func (m Master) With(other Master) (Master, error) {
	if len(other.secret) > 0 && hmac.Equal(m.secret, other.secret) {
		return Master{}, fmt.Errorf("%w: it is the same as the other one", ErrWeakMaster)
	}
	return Master{m.secret, other.secret}, nil
}

// alone is m without the other secret.
func (m Master) alone() Master { return Master{secret: m.secret} }

// Derive returns the 32-byte key for new things of a purpose.
func (m Master) Derive(p Purpose) [32]byte { return derive(m.secret, p) }

// Keys returns all 32-byte keys for a purpose: the first is for new things, what was made
// under another is accepted.
func (m Master) Keys(p Purpose) [][32]byte {
	keys := [][32]byte{m.Derive(p)}
	if m.other != nil {
		keys = append(keys, derive(m.other, p))
	}
	return keys
}

func derive(secret []byte, p Purpose) [32]byte {
	if len(secret) < MinMasterBytes {
		panic("token: a key of a zero Master") // fail closed: no key from nothing
	}
	key, err := hkdf.Key(sha256.New, secret, nil, string(p), 32)
	if err != nil {
		panic(err) // only for lengths that HKDF cannot give; 32 is not one
	}
	return [32]byte(key)
}

// Seal encrypts plain with AES-256-GCM under the key of a purpose. The context (a key id,
// say) is authenticated, not stored: Open needs the same one.
func (m Master) Seal(p Purpose, plain []byte, context string) []byte {
	return aead(m.Derive(p)).Seal(nil, nil, plain, []byte(context))
}

// Open undoes Seal, under either secret, or returns ErrUnsealable.
func (m Master) Open(p Purpose, sealed []byte, context string) ([]byte, error) {
	for _, key := range m.Keys(p) {
		if plain, err := aead(key).Open(nil, nil, sealed, []byte(context)); err == nil {
			return plain, nil
		}
	}
	return nil, ErrUnsealable
}

func aead(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only for key lengths that AES does not have; 32 is one it has
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for ciphers that are not AES
	}
	return sealer
}

// GenerateMaster returns a new master secret as text for ParseMaster.
func GenerateMaster() Secret {
	secret := make([]byte, MinMasterBytes)
	_, _ = rand.Read(secret) // crypto/rand.Read never fails: it ends the program instead
	return NewSecret(base64.StdEncoding.EncodeToString(secret))
}

// NewPseudonym returns the function by which logs call an account: a keyed hash of the
// address, 16 hexadecimal digits, the same whether or not there is such a user.
func NewPseudonym(m Master) func(email string) string {
	t := newTagger(m, PurposeAccountKey)
	return func(email string) string { return hex.EncodeToString(t.tag([]byte(email))[:8]) }
}
