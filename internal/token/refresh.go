package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
)

// ErrRefreshInvalid: not a refresh token that this installation issued.
var ErrRefreshInvalid = errors.New("token: not a refresh token of ours")

const (
	refreshVersion = 1
	refreshTagged  = 1 + 16 + 8 + 32 // version, session id, generation, random
	refreshLength  = refreshTagged + sha256.Size
)

// Refresh is what a refresh token says. All generations of a session share Random, so that
// whoever presents a genuine token lets the server compute the current one again, while
// nothing that can be presented is stored.
type Refresh struct {
	SessionID  uuid.UUID
	Generation int64
	Random     [32]byte
}

// NewRefresh returns generation 0 of a session, with 256 fresh random bits.
func NewRefresh(sessionID uuid.UUID) Refresh {
	r := Refresh{SessionID: sessionID}
	_, _ = rand.Read(r.Random[:]) // crypto/rand.Read never fails: it ends the program instead
	return r
}

// SecretHash is what the database keeps of the session's tokens: SHA-256 of the random part.
func (r Refresh) SecretHash() []byte {
	sum := sha256.Sum256(r.Random[:])
	return sum[:]
}

// RefreshCodec writes and reads refresh tokens:
// base64url(version ‖ session id ‖ generation ‖ random ‖ HMAC-SHA256 over all before).
// The tag proves that a generation was really issued, so that nobody can fake a reuse from
// the session id in an access token.
type RefreshCodec struct{ tags tagger }

// NewRefreshCodec derives the keys of the tag.
func NewRefreshCodec(m Master) RefreshCodec { return RefreshCodec{newTagger(m, PurposeRefreshTag)} }

// Format implements fmt.Formatter: a key prints as nothing.
func (RefreshCodec) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// Encode returns the token of r; the same r always gives the same bytes.
func (c RefreshCodec) Encode(r Refresh) Secret {
	raw := make([]byte, 0, refreshLength)
	raw = append(raw, refreshVersion)
	raw = append(raw, r.SessionID[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(r.Generation))
	raw = append(raw, r.Random[:]...)
	raw = append(raw, c.tags.tag(raw)...)
	return NewSecret(base64.RawURLEncoding.EncodeToString(raw))
}

// Decode returns what a token says, or ErrRefreshInvalid: for a wrong length, alphabet,
// version or tag. It reaches no database.
func (c RefreshCodec) Decode(s Secret) (Refresh, error) {
	text := s.Reveal()
	if len(text) != base64.RawURLEncoding.EncodedLen(refreshLength) {
		return Refresh{}, ErrRefreshInvalid
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != refreshLength || raw[0] != refreshVersion {
		return Refresh{}, ErrRefreshInvalid
	}
	if !c.tags.genuine(raw[refreshTagged:], raw[:refreshTagged]) {
		return Refresh{}, ErrRefreshInvalid
	}
	generation := binary.BigEndian.Uint64(raw[17:25])
	if generation > math.MaxInt64-1 {
		return Refresh{}, ErrRefreshInvalid
	}
	return Refresh{
		SessionID:  uuid.UUID(raw[1:17]),
		Generation: int64(generation),
		Random:     [32]byte(raw[25:57]),
	}, nil
}
