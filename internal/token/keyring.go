package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"
)

const (
	// MaxAccessTTL bounds the life of an access token.
	MaxAccessTTL = 15 * time.Minute
	// MaxLeeway bounds the tolerated difference between clocks.
	MaxLeeway = 30 * time.Second
	// MaxAccessLife is how long after its issue an access token can still be accepted anywhere,
	// whatever the settings of the replica that issued it: leeway, and a clock that is ahead.
	MaxAccessLife = MaxAccessTTL + 2*MaxLeeway
	// JWKSMaxAge is how long a verifier may keep the published key set.
	JWKSMaxAge = 5 * time.Minute
	// PublishDelay is how long a new key is published before it signs: JWKSMaxAge,
	// the replicas' own reload interval, and as much again for clocks that disagree.
	PublishDelay = 10 * time.Minute

	// Less than the five seconds within which a removed key is refused.
	reloadInterval = 4 * time.Second
	// A superseded key still verifies until its last token has surely expired.
	retireDelay = MaxAccessLife
)

// Errors of the keyring.
var (
	// ErrOtherMaster: the keys in the database were sealed under another master secret.
	ErrOtherMaster = errors.New("token: the signing keys in the database belong to another master secret")
	// ErrKeyConflict: another process added a key of the same generation first.
	ErrKeyConflict = errors.New("token: another process added a signing key at the same moment")
	// ErrNoKey: there is no key to sign with.
	ErrNoKey = errors.New("token: no signing key is loaded")
)

// KeyStore keeps signing keys.
type KeyStore interface {
	// SigningKeys returns all keys, the oldest generation first, and the database's present
	// time: the zero Time if there is no key.
	SigningKeys(context.Context) ([]StoredKey, time.Time, error)
	// AddSigningKey stores k to be active after the delay, or returns ErrKeyConflict if its
	// generation is taken.
	AddSigningKey(ctx context.Context, k StoredKey, delay time.Duration) error
	// ReplaceSigningKey adds k like AddSigningKey and removes the key with this id, both or
	// neither.
	ReplaceSigningKey(ctx context.Context, id string, k StoredKey, delay time.Duration) error
	// DeleteSigningKeys removes the keys with these ids.
	DeleteSigningKeys(ctx context.Context, ids []string) error
	// ResealSigningKey exchanges the sealed form of a key, unless the key is gone or its sealed
	// form is another than from.
	ResealSigningKey(ctx context.Context, id string, from, to []byte) error
}

// Keyring holds the signing keys of this process, shared with the other replicas through the
// database. Load it before use; Run keeps it current.
type Keyring struct {
	store     KeyStore
	master    Master
	algorithm Algorithm
	set       atomic.Pointer[keySet]
}

// NewKeyring returns an empty keyring; new keys are made for alg.
func NewKeyring(store KeyStore, m Master, alg Algorithm) *Keyring {
	return &Keyring{store: store, master: m, algorithm: alg}
}

// keySet is one loaded state; it is replaced, never changed.
type keySet struct {
	keys     []signingKey // oldest first
	jwks     []byte
	asOf     time.Time     // all of what the database had then
	offset   time.Duration // what to add to this machine's clock to get the database's
	verified *verifiedCache
}

// Load reads the keys and makes the first one if there is none. Errors: ErrOtherMaster,
// ErrAlgorithm, or the store's.
func (k *Keyring) Load(ctx context.Context) error {
	asked := time.Now()
	stored, now, err := k.store.SigningKeys(ctx)
	if err != nil {
		return fmt.Errorf("token: read signing keys: %w", err)
	}
	if len(stored) == 0 {
		first, err := newStoredKey(k.master, k.algorithm, 1)
		if err != nil {
			return err
		}
		if err := k.store.AddSigningKey(ctx, first, 0); err != nil && !errors.Is(err, ErrKeyConflict) {
			return fmt.Errorf("token: store the first signing key: %w", err)
		}
		if stored, now, err = k.store.SigningKeys(ctx); err != nil {
			return fmt.Errorf("token: read signing keys: %w", err)
		}
	}
	return k.use(stored, now, asked)
}

// use takes over what is stored: a key that is gone from there goes, whatever else is wrong
// . A key that is held is not opened again, so that a process which knows only the old
// one of two master secrets goes on with it; one that cannot be opened is left out.
func (k *Keyring) use(stored []StoredKey, now, asked time.Time) error {
	next, unusable := &keySet{asOf: asked, offset: time.Until(now)}, error(nil)
	old := k.set.Load()
	for i, s := range stored {
		if retired(stored, i, now) {
			continue
		}
		key, held := old.byID(s.ID)
		if !held {
			var err error
			if key, err = s.open(k.master); err != nil {
				unusable = errors.Join(unusable, err)
				continue
			}
		}
		key.activeAt = s.ActiveAt
		next.keys = append(next.keys, key)
	}
	if len(next.keys) == 0 && unusable == nil {
		unusable = ErrNoKey
	}
	var err error
	if next.jwks, err = marshalJWKS(next.keys); err != nil {
		return err
	}
	// What was verified under a key that is gone must not stay accepted: keep the cache only
	// while the keys are the same.
	if old != nil && bytes.Equal(old.jwks, next.jwks) {
		next.verified = old.verified
	} else {
		next.verified = newVerifiedCache()
	}
	k.set.Store(next)
	return unusable
}

// retired reports whether the key at i was superseded so long ago that no token of its is alive.
func retired(stored []StoredKey, i int, now time.Time) bool {
	return i+1 < len(stored) && stored[i+1].ActiveAt.Add(retireDelay).Before(now)
}

// Run reloads the keys every few seconds until ctx ends. While the database is away the
// present keys stay, and Age grows: who verifies decides how long that is good enough.
func (k *Keyring) Run(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Bounded, so that a connection that went dead silently costs one round only.
			round, cancel := context.WithTimeout(ctx, reloadInterval)
			if err := k.Load(round); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "signing keys could not be read again", "error", err)
			}
			cancel()
		}
	}
}

// Age is how long ago the keys were read. One that was removed since may still be here.
func (k *Keyring) Age() time.Duration {
	set := k.set.Load()
	if set == nil {
		return math.MaxInt64
	}
	return time.Since(set.asOf)
}

// JWKS returns the public keys as a JWK Set, the ones not yet signing included.
func (k *Keyring) JWKS() []byte {
	if set := k.set.Load(); set != nil {
		return set.jwks
	}
	return []byte(`{"keys":[]}`)
}

// Algorithms returns the algorithms of the loaded keys.
func (k *Keyring) Algorithms() []Algorithm {
	var out []Algorithm
	set := k.set.Load()
	if set == nil {
		return out
	}
	for _, alg := range []Algorithm{ES256, EdDSA} {
		for _, key := range set.keys {
			if key.algorithm == alg {
				out = append(out, alg)
				break
			}
		}
	}
	return out
}

// signer returns the newest active key: by the database's clock, which all replicas share.
func (s *keySet) signer(now time.Time) signingKey {
	now = now.Add(s.offset)
	for i := len(s.keys) - 1; i > 0; i-- {
		if !s.keys[i].activeAt.After(now) {
			return s.keys[i]
		}
	}
	return s.keys[0]
}

func (s *keySet) byID(id string) (signingKey, bool) {
	if s == nil {
		return signingKey{}, false
	}
	for _, key := range s.keys {
		if key.id == id {
			return key, true
		}
	}
	return signingKey{}, false
}
