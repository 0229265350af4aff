package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeStore is a KeyStore whose clock may disagree with this machine's.
type fakeStore struct {
	mu     sync.Mutex
	keys   []StoredKey
	skew   time.Duration
	err    error
	reads  int
	before func(*fakeStore) // called once, before the next AddSigningKey
}

func (s *fakeStore) SigningKeys(context.Context) ([]StoredKey, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return slices.Clone(s.keys), time.Now().Add(s.skew), s.err
}

func (s *fakeStore) AddSigningKey(_ context.Context, k StoredKey, delay time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.before; before != nil {
		s.before = nil
		before(s)
	}
	if slices.ContainsFunc(s.keys, func(other StoredKey) bool { return other.Generation == k.Generation }) {
		return ErrKeyConflict
	}
	k.ActiveAt = time.Now().Add(s.skew + delay)
	s.keys = append(s.keys, k)
	return s.err
}

func (s *fakeStore) ReplaceSigningKey(ctx context.Context, id string, k StoredKey, delay time.Duration) error {
	if err := s.AddSigningKey(ctx, k, delay); err != nil {
		return err
	}
	return s.DeleteSigningKeys(ctx, []string{id})
}

func (s *fakeStore) ResealSigningKey(_ context.Context, id string, from, to []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range s.keys {
		if k.ID == id && bytes.Equal(k.SealedKey, from) {
			s.keys[i].SealedKey = to
		}
	}
	return s.err
}

func (s *fakeStore) DeleteSigningKeys(_ context.Context, ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.DeleteFunc(s.keys, func(k StoredKey) bool { return slices.Contains(ids, k.ID) })
	return s.err
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func loadedRing(t testing.TB, store KeyStore, alg Algorithm) *Keyring {
	t.Helper()
	ring := NewKeyring(store, testMaster(t), alg)
	mustLoad(t, ring)
	return ring
}

func mustLoad(t testing.TB, ring *Keyring) {
	t.Helper()
	if err := ring.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// published is the key ids of the JWKS, in its order.
func published(t testing.TB, ring *Keyring) []string {
	t.Helper()
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// signs is the id of the key that signs now.
func signs(t testing.TB, ring *Keyring) string {
	t.Helper()
	header, _, _ := strings.Cut(issue(t, newIssuer(t, ring)), ".")
	raw, _ := base64.RawURLEncoding.DecodeString(header)
	var fields struct{ Kid string }
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	return fields.Kid
}

func TestFirstKeySignsAtOnce(t *testing.T) {
	store := &fakeStore{}
	ring := NewKeyring(store, testMaster(t), ES256)
	if _, _, err := newIssuer(t, ring).Issue(Access{}); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	if string(ring.JWKS()) != `{"keys":[]}` || len(ring.Algorithms()) != 0 {
		t.Errorf("%s %v", ring.JWKS(), ring.Algorithms())
	}
	mustLoad(t, ring)
	mustLoad(t, ring)
	if len(store.keys) != 1 || store.keys[0].Generation != 1 || signs(t, ring) != store.keys[0].ID {
		t.Errorf("%+v", store.keys)
	}
	if again := loadedRing(t, store, ES256); signs(t, again) != store.keys[0].ID {
		t.Error("after a restart another key signs")
	}
}

func TestReplicasThatStartTogetherShareOneKey(t *testing.T) {
	winner, err := newStoredKey(testMaster(t), ES256, 1)
	if err != nil {
		t.Fatal(err)
	}
	store := &fakeStore{before: func(s *fakeStore) { s.keys = append(s.keys, winner) }}
	if ring := loadedRing(t, store, ES256); len(store.keys) != 1 || signs(t, ring) != winner.ID {
		t.Errorf("%d keys", len(store.keys))
	}
}

func TestLoadRefusesKeysThatAreNotWhatTheySay(t *testing.T) {
	master := testMaster(t)
	good := func() StoredKey {
		k, err := newStoredKey(master, ES256, 1)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	other, gone := good(), errors.New("connection refused")
	for reason, test := range map[string]struct {
		change func(*fakeStore, *StoredKey)
		want   error
	}{
		"sealed under another master secret": {func(_ *fakeStore, k *StoredKey) {
			*k, _ = newStoredKey(otherMaster(t), ES256, 1)
		}, ErrOtherMaster},
		"a row that got another's id":    {func(_ *fakeStore, k *StoredKey) { k.ID = other.ID }, ErrOtherMaster},
		"a row that got another's key":   {func(_ *fakeStore, k *StoredKey) { k.SealedKey = other.SealedKey }, ErrOtherMaster},
		"a key that is stored in clear":  {func(_ *fakeStore, k *StoredKey) { k.SealedKey = []byte("0\x81\x87") }, ErrOtherMaster},
		"an algorithm that does not fit": {func(_ *fakeStore, k *StoredKey) { k.Algorithm = EdDSA }, ErrAlgorithm},
		"an algorithm nobody may use":    {func(_ *fakeStore, k *StoredKey) { k.Algorithm = "RS256" }, ErrAlgorithm},
		"a database that is away":        {func(s *fakeStore, _ *StoredKey) { s.err = gone }, gone},
	} {
		t.Run(reason, func(t *testing.T) {
			key := good()
			store := &fakeStore{}
			test.change(store, &key)
			store.keys = []StoredKey{key}
			if err := NewKeyring(store, master, ES256).Load(t.Context()); !errors.Is(err, test.want) {
				t.Error(err)
			}
		})
	}
	if _, err := newStoredKey(master, "RS256", 1); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("a key for RS256: %v", err)
	}
}

func TestRotationOverlaps(t *testing.T) {
	for reason, skew := range map[string]time.Duration{
		"clocks agree": 0, "the database is an hour ahead": time.Hour, "the database is an hour behind": -time.Hour,
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rotate(t, skew) })
		})
	}
}

func rotate(t *testing.T, skew time.Duration) {
	store := &fakeStore{skew: skew}
	here, there := loadedRing(t, store, ES256), loadedRing(t, store, ES256)
	old := signs(t, here)
	rotation, err := here.Rotate(t.Context())
	if err != nil || !rotation.ActiveAt.Equal(time.Now().Add(skew+PublishDelay)) {
		t.Fatalf("%+v, %v", rotation, err)
	}
	mustLoad(t, there)
	for _, ring := range []*Keyring{here, there} {
		if got := published(t, ring); !slices.Equal(got, []string{old, rotation.KeyID}) {
			t.Errorf("published %v", got)
		}
		if signs(t, ring) != old {
			t.Error("the new key signs before verifiers can know it")
		}
	}
	time.Sleep(PublishDelay - time.Millisecond)
	if PublishDelay < JWKSMaxAge+reloadInterval || signs(t, here) != old {
		t.Error("a verifier may not have seen the new key yet")
	}
	last := issue(t, newIssuer(t, here))
	time.Sleep(time.Millisecond)
	if signs(t, here) != rotation.KeyID || signs(t, there) != rotation.KeyID {
		t.Error("the new key does not sign in time")
	}
	time.Sleep(MaxAccessTTL / 2)
	mustLoad(t, here)
	if _, err := newIssuer(t, here).Verify(last); err != nil {
		t.Errorf("the last token of the old key: %v", err)
	}
	time.Sleep(MaxAccessTTL/2 + 2*MaxLeeway)
	mustLoad(t, here)
	if !slices.Contains(published(t, here), old) {
		t.Error("the old key left while a token of it could live")
	}
	time.Sleep(time.Second)
	mustLoad(t, here)
	if got := published(t, here); !slices.Equal(got, []string{rotation.KeyID}) {
		t.Errorf("published %v after the overlap", got)
	}
	if _, err := here.Rotate(t.Context()); err != nil || len(store.keys) != 2 || store.keys[0].ID != rotation.KeyID {
		t.Errorf("a retired key stays in the database: %d keys, %v", len(store.keys), err)
	}
}

func TestRotationsAtTheSameMoment(t *testing.T) {
	store := &fakeStore{}
	ring := loadedRing(t, store, ES256)
	rival, _ := newStoredKey(testMaster(t), ES256, 2)
	store.before = func(s *fakeStore) { s.keys = append(s.keys, rival) }
	if _, err := ring.Rotate(t.Context()); !errors.Is(err, ErrKeyConflict) || len(store.keys) != 2 {
		t.Errorf("%d keys, %v", len(store.keys), err)
	}
	if _, err := NewKeyring(store, otherMaster(t), ES256).Rotate(t.Context()); !errors.Is(err, ErrOtherMaster) || len(store.keys) != 2 {
		t.Errorf("rotated under another master secret: %v", err)
	}
	store.err = errors.New("away")
	if _, err := ring.Rotate(t.Context()); !errors.Is(err, store.err) {
		t.Error(err)
	}
}

func TestChangedAlgorithmTakesOverAtTheRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		loadedRing(t, store, ES256)
		ring := loadedRing(t, store, EdDSA)
		if signs(t, ring) != store.keys[0].ID {
			t.Error("the setting alone changes the key")
		}
		if _, err := ring.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(PublishDelay - time.Minute)
		old := issue(t, newIssuer(t, ring))
		time.Sleep(time.Minute)
		fresh := issue(t, newIssuer(t, ring))
		for reason, text := range map[string]string{"ES256": old, "EdDSA": fresh} {
			if _, err := newIssuer(t, ring).Verify(text); err != nil {
				t.Errorf("%s: %v", reason, err)
			}
		}
		if got := ring.Algorithms(); !slices.Equal(got, []Algorithm{ES256, EdDSA}) {
			t.Errorf("%v", got)
		}
		if !strings.Contains(header(fresh), `"alg":"EdDSA"`) || !strings.Contains(header(old), `"alg":"ES256"`) {
			t.Errorf("%s %s", header(fresh), header(old))
		}
	})
}

func TestRunKeepsKeysWhileTheDatabaseIsAway(t *testing.T) { // R-60, and an outage signs nobody out
	synctest.Test(t, func(t *testing.T) {
		store, log := &fakeStore{}, &bytes.Buffer{}
		ring := loadedRing(t, store, ES256)
		ctx, stop := context.WithCancel(t.Context())
		go ring.Run(ctx, slog.New(slog.NewTextHandler(log, nil)))
		access := issue(t, newIssuer(t, ring))
		store.fail(errors.New("connection refused"))
		time.Sleep(reloadInterval)
		synctest.Wait()
		if _, err := newIssuer(t, ring).Verify(access); err != nil || !strings.Contains(log.String(), "connection refused") {
			t.Errorf("%v\n%s", err, log)
		}
		store.fail(nil)
		replacement, _ := newStoredKey(testMaster(t), ES256, 2)
		store.mu.Lock()
		store.keys = []StoredKey{replacement} // an emergency: the old key leaves at once
		store.mu.Unlock()
		time.Sleep(reloadInterval)
		synctest.Wait()
		if _, err := newIssuer(t, ring).Verify(access); !errors.Is(err, ErrAccessInvalid) || signs(t, ring) != replacement.ID {
			t.Errorf("a removed key is still trusted: %v", err)
		}
		stop()
		synctest.Wait()
		reads := store.reads
		time.Sleep(10 * reloadInterval)
		if store.reads != reads {
			t.Error("Run goes on after its context")
		}
	})
}

func TestJWKSHasPublicMembersOnly(t *testing.T) {
	want := map[Algorithm][]string{
		ES256: {"alg", "crv", "kid", "kty", "use", "x", "y"},
		EdDSA: {"alg", "crv", "kid", "kty", "use", "x"},
	}
	for alg, members := range want {
		t.Run(string(alg), func(t *testing.T) {
			ring := loadedRing(t, &fakeStore{}, alg)
			var set map[string][]map[string]string
			if err := json.Unmarshal(ring.JWKS(), &set); err != nil {
				t.Fatal(err)
			}
			if len(set) != 1 || len(set["keys"]) != 1 {
				t.Fatalf("%s", ring.JWKS())
			}
			key := set["keys"][0]
			if got := slices.Sorted(maps.Keys(key)); !slices.Equal(got, members) {
				t.Errorf("%v", got)
			}
			if key["alg"] != string(alg) || key["use"] != "sig" || key["kid"] != ring.set.Load().keys[0].id {
				t.Errorf("%v", key)
			}
			if _, err := newIssuer(t, ring).Verify(issue(t, newIssuer(t, ring))); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestThumbprintFollowsRFC7638(t *testing.T) {
	decode := func(text string) []byte {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	point := slices.Concat([]byte{4}, decode("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"), decode("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"))
	p256, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	for reason, test := range map[string]struct {
		public any
		want   string
	}{
		"the P-256 example of RFC 9449 section 6.1":      {p256, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
		"the Ed25519 example of RFC 8037 appendix A.3":   {ed25519.PublicKey(decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
		"RFC 7638's own is RSA, which is no key of ours": {struct{}{}, ""},
	} {
		t.Run(reason, func(t *testing.T) {
			got, err := thumbprint(test.public)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// a running process publishes what another one rotated, and keeps its keys through an
// outage.
func TestRunReadsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		here := loadedRing(t, store, ES256)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go here.Run(ctx, slog.New(slog.NewTextHandler(io.Discard, nil)))
		one := string(here.JWKS())
		if err := store.AddSigningKey(ctx, mustKey(t, here.master, 2), PublishDelay); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reloadInterval + time.Second)
		synctest.Wait()
		two := string(here.JWKS())
		if two == one || strings.Count(two, `"kid"`) != 2 {
			t.Errorf("after the interval: %s", two)
		}
		store.mu.Lock()
		store.err = errors.New("away")
		store.mu.Unlock()
		time.Sleep(reloadInterval + time.Second)
		synctest.Wait()
		if string(here.JWKS()) != two {
			t.Error("an outage took the keys away")
		}
	})
}
