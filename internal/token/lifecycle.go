package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// minKeyPrefix is how much of an id must be typed to mean a key.
const minKeyPrefix = 8

// ErrUnknownKey: a text does not begin the id of exactly one signing key.
var ErrUnknownKey = errors.New("token: no such signing key")

// KeyState is where a signing key stands in its life.
type KeyState string

// The states, in their order.
const (
	KeyPublished  KeyState = "published"  // does not sign yet
	KeySigning    KeyState = "signing"    // what new tokens are signed with
	KeySuperseded KeyState = "superseded" // tokens of it may be alive
	KeyRetired    KeyState = "retired"    // nothing refers to it; the next rotation deletes it
)

// Seal says which master secret a key is sealed under, see Master.With.
type Seal string

// The seals.
const (
	SealedByFirst   Seal = "first"
	SealedByOther   Seal = "other"   // which is needed as long as there is such a key
	SealedByUnknown Seal = "unknown" // neither opens it
)

// KeyInfo describes a stored key.
type KeyInfo struct {
	StoredKey
	State KeyState
	Until time.Time // KeyPublished: signs from here on. KeySuperseded: verifies until here
	Seal  Seal
}

// List describes all keys, the oldest first. It changes nothing.
func (k *Keyring) List(ctx context.Context) ([]KeyInfo, error) {
	stored, now, err := k.store.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: read signing keys: %w", err)
	}
	out, signer := make([]KeyInfo, len(stored)), signerOf(stored, now)
	for i, s := range stored {
		out[i] = KeyInfo{StoredKey: s, State: KeySigning}
		switch {
		case i > signer:
			out[i].State, out[i].Until = KeyPublished, s.ActiveAt
		case retired(stored, i, now):
			out[i].State = KeyRetired
		case i < signer:
			out[i].State, out[i].Until = KeySuperseded, stored[i+1].ActiveAt.Add(retireDelay)
		}
		out[i].Seal = k.sealOf(s)
	}
	return out, nil
}

func (k *Keyring) sealOf(s StoredKey) Seal {
	if _, err := k.master.alone().Open(PurposeSigningSeal, s.SealedKey, s.ID); err == nil {
		return SealedByFirst
	}
	if _, err := k.master.Open(PurposeSigningSeal, s.SealedKey, s.ID); err == nil {
		return SealedByOther
	}
	return SealedByUnknown
}

// signerOf is the index of the key that signs: the newest active one, as in keySet.signer.
func signerOf(stored []StoredKey, now time.Time) int {
	for i := len(stored) - 1; i > 0; i-- {
		if !stored[i].ActiveAt.After(now) {
			return i
		}
	}
	return 0
}

// Rotation says what Rotate did.
type Rotation struct {
	KeyID    string
	ActiveAt time.Time // when the new key starts to sign
}

// Rotate adds a key, which signs after PublishDelay, and drops keys that no living token
// needs. Running processes notice by themselves. Errors: ErrKeyConflict, ErrOtherMaster, or
// the store's.
func (k *Keyring) Rotate(ctx context.Context) (Rotation, error) {
	if err := k.Load(ctx); err != nil {
		return Rotation{}, err
	}
	stored, now, err := k.store.SigningKeys(ctx)
	if err != nil {
		return Rotation{}, fmt.Errorf("token: read signing keys: %w", err)
	}
	next, err := newStoredKey(k.master, k.algorithm, stored[len(stored)-1].Generation+1)
	if err != nil {
		return Rotation{}, err
	}
	if err := k.store.AddSigningKey(ctx, next, PublishDelay); err != nil {
		return Rotation{}, fmt.Errorf("token: store a signing key: %w", err)
	}
	var gone []string
	for i := range stored {
		if retired(stored, i, now) {
			gone = append(gone, stored[i].ID)
		}
	}
	if err := k.store.DeleteSigningKeys(ctx, gone); err != nil {
		return Rotation{}, fmt.Errorf("token: delete retired signing keys: %w", err)
	}
	return Rotation{KeyID: next.ID, ActiveAt: now.Add(PublishDelay)}, k.Load(ctx)
}

// Removal says what Remove did.
type Removal struct {
	KeyID string
	Next  Rotation // the key that was made in its place; the zero Rotation if none had to be
}

// Remove deletes the key whose id begins with prefix, at least 8 characters, with all its
// tokens. In place of the one that signs it makes one that signs at once, and in place
// of the newest one that does not sign yet one that is published first: the newest key never
// goes without a newer one, so no two removals at the same moment leave none. Running
// processes notice by themselves. Errors: ErrUnknownKey, ErrKeyConflict, ErrOtherMaster, or
// the store's.
func (k *Keyring) Remove(ctx context.Context, prefix string) (Removal, error) {
	// First, because a key under a secret that the servers do not have would be of no use.
	if err := k.Load(ctx); err != nil {
		return Removal{}, err
	}
	stored, now, err := k.store.SigningKeys(ctx)
	if err != nil {
		return Removal{}, fmt.Errorf("token: read signing keys: %w", err)
	}
	gone, err := find(stored, prefix)
	if err != nil {
		return Removal{}, err
	}
	out, newest, delay := Removal{KeyID: stored[gone].ID}, len(stored)-1, time.Duration(0)
	switch gone {
	case signerOf(stored, now):
	case newest:
		delay = PublishDelay
	default:
		if err := k.store.DeleteSigningKeys(ctx, []string{out.KeyID}); err != nil {
			return Removal{}, fmt.Errorf("token: delete a signing key: %w", err)
		}
		return out, k.Load(ctx)
	}
	next, err := newStoredKey(k.master, k.algorithm, stored[newest].Generation+1)
	if err != nil {
		return Removal{}, err
	}
	if err := k.store.ReplaceSigningKey(ctx, out.KeyID, next, delay); err != nil {
		return Removal{}, fmt.Errorf("token: replace a signing key: %w", err)
	}
	out.Next = Rotation{KeyID: next.ID, ActiveAt: now.Add(delay)}
	return out, k.Load(ctx)
}

// find answers the index of the one key that a prefix means.
func find(stored []StoredKey, prefix string) (int, error) {
	if len(prefix) < minKeyPrefix {
		return 0, fmt.Errorf("%w: give at least the first %d characters of its id", ErrUnknownKey, minKeyPrefix)
	}
	found := -1
	for i, s := range stored {
		if !strings.HasPrefix(s.ID, prefix) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("%w: more than one id begins so, give more of it", ErrUnknownKey)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("%w: no id begins so", ErrUnknownKey)
	}
	return found, nil
}

// Reseal seals under the first master secret what is sealed under the other, and answers how
// many keys that were. A process that knows only the other goes on with the keys it has, but
// does not start any more. Errors: ErrOtherMaster, or the store's.
func (k *Keyring) Reseal(ctx context.Context) (int, error) {
	keys, err := k.List(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, key := range keys {
		switch {
		case key.Seal == SealedByUnknown && key.State != KeyRetired:
			return n, fmt.Errorf("%w: %s", ErrOtherMaster, key.ID)
		case key.Seal != SealedByOther:
			continue
		}
		der, err := k.master.Open(PurposeSigningSeal, key.SealedKey, key.ID)
		if err != nil {
			return n, err
		}
		sealed := k.master.Seal(PurposeSigningSeal, der, key.ID)
		if err := k.store.ResealSigningKey(ctx, key.ID, key.SealedKey, sealed); err != nil {
			return n, fmt.Errorf("token: reseal a signing key: %w", err)
		}
		n++
	}
	return n, nil
}
