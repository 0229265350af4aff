package token

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// threeKeys is a store whose oldest key is superseded, the next signs and the last is published
// only, with the names of the tests for each.
func threeKeys(t testing.TB, m Master) (*fakeStore, map[string]string) {
	t.Helper()
	store := &fakeStore{}
	for generation, active := range []time.Duration{-time.Hour, -time.Minute, time.Minute} {
		k := mustKey(t, m, int64(generation+1))
		k.ActiveAt = time.Now().Add(active)
		store.keys = append(store.keys, k)
	}
	return store, map[string]string{"superseded": store.keys[0].ID, "signing": store.keys[1].ID, "published": store.keys[2].ID}
}

func mustKey(t testing.TB, m Master, generation int64) StoredKey {
	t.Helper()
	k, err := newStoredKey(m, ES256, generation)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestListSaysWhereKeysStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		masters := phases(t)
		store, _ := threeKeys(t, masters["A"])
		retiredKey := mustKey(t, masters["A"], 0)
		retiredKey.ActiveAt = time.Now().Add(-2 * time.Hour)
		store.keys = append([]StoredKey{retiredKey}, store.keys...)
		now := time.Now()
		for master, seal := range map[string]Seal{"A": SealedByFirst, "A with B": SealedByFirst, "B with A": SealedByOther, "B": SealedByUnknown} {
			keys, err := NewKeyring(store, masters[master], ES256).List(t.Context())
			if err != nil || len(keys) != 4 {
				t.Fatal(keys, err)
			}
			for i, want := range []KeyInfo{
				{State: KeyRetired},
				{State: KeySuperseded, Until: now.Add(-time.Minute + retireDelay)},
				{State: KeySigning},
				{State: KeyPublished, Until: now.Add(time.Minute)},
			} {
				if got := keys[i]; got.ID != store.keys[i].ID || got.State != want.State || !got.Until.Equal(want.Until) || got.Seal != seal {
					t.Errorf("%s: key %d is %s until %v, sealed by %s", master, i, got.State, got.Until, got.Seal)
				}
			}
		}
		store.err = errors.New("away")
		if _, err := NewKeyring(store, masters["A"], ES256).List(t.Context()); !errors.Is(err, store.err) {
			t.Errorf("%v", err)
		}
		empty := &fakeStore{}
		if keys, err := NewKeyring(empty, masters["A"], ES256).List(t.Context()); err != nil || len(keys)+len(empty.keys) != 0 {
			t.Errorf("looking makes a key: %v, %v", keys, err)
		}
	})
}

// every process refuses the tokens of a removed key within five seconds, and signs under
// another.
func TestRemovedKeyIsRefusedEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		var rings []*Keyring
		for range 3 {
			ring := loadedRing(t, store, ES256)
			go ring.Run(t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)))
			rings = append(rings, ring)
			time.Sleep(time.Second) // they do not read in step
		}
		access := issue(t, newIssuer(t, rings[0]))
		for i, ring := range rings { // and remember it as verified
			if _, err := newIssuer(t, ring).Verify(access); err != nil {
				t.Fatalf("process %d: %v", i, err)
			}
		}
		feed, err := newIssuer(t, rings[0]).Feed(nil)
		if err != nil || newIssuer(t, rings[0]).IsOld(feed, time.Now()) {
			t.Fatal(err)
		}
		removal, err := NewKeyring(store, testMaster(t), ES256).Remove(t.Context(), store.keys[0].ID[:minKeyPrefix])
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for i, ring := range rings {
			if _, err := newIssuer(t, ring).Verify(access); !errors.Is(err, ErrAccessInvalid) {
				t.Errorf("process %d still trusts it: %v", i, err)
			}
			if signs(t, ring) != removal.Next.KeyID || strings.Contains(string(ring.JWKS()), removal.KeyID) {
				t.Errorf("process %d signs with %s and publishes %s", i, signs(t, ring), ring.JWKS())
			}
			if !newIssuer(t, ring).IsOld(feed, time.Now()) {
				t.Errorf("process %d goes on with a feed of the removed key", i)
			}
		}
	})
}

func TestRemovalLeavesAKeyThatSigns(t *testing.T) {
	for remove, want := range map[string]struct {
		left  []string // of the keys that were there
		fresh bool
		delay time.Duration // until the fresh key signs
		signs string        // "" for the fresh one
	}{
		"superseded": {left: []string{"signing", "published"}, signs: "signing"},
		"signing":    {left: []string{"superseded", "published"}, fresh: true},
		"published":  {left: []string{"superseded", "signing"}, fresh: true, delay: PublishDelay, signs: "signing"},
	} {
		t.Run(remove, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, ids := threeKeys(t, testMaster(t))
				ring := loadedRing(t, store, ES256)
				removal, err := ring.Remove(t.Context(), ids[remove])
				if err != nil || removal.KeyID != ids[remove] || (removal.Next != Rotation{}) != want.fresh {
					t.Fatalf("%+v, %v", removal, err)
				}
				ids[""] = removal.Next.KeyID
				var left []string
				for _, name := range want.left {
					left = append(left, ids[name])
				}
				if want.fresh {
					left = append(left, removal.Next.KeyID)
					if newest := store.keys[len(store.keys)-1]; newest.Generation != 4 || !removal.Next.ActiveAt.Equal(newest.ActiveAt) || time.Until(newest.ActiveAt) != want.delay {
						t.Errorf("generation %d, active in %v", newest.Generation, time.Until(newest.ActiveAt))
					}
				}
				if got := published(t, ring); !slices.Equal(got, left) || signs(t, ring) != ids[want.signs] {
					t.Errorf("left %v, signs %s", got, signs(t, ring))
				}
				time.Sleep(PublishDelay)
				if want.fresh && signs(t, ring) != removal.Next.KeyID {
					t.Error("the fresh key does not sign in time")
				}
			})
		})
	}
}

// Two removals, or a removal and a rotation, at the same moment: one wins, and the newest key
// is never the one that is gone.
func TestRemovalsAtTheSameMoment(t *testing.T) {
	for _, mine := range []string{"signing", "published"} {
		store, ids := threeKeys(t, testMaster(t))
		ring := loadedRing(t, store, ES256)
		rival := mustKey(t, testMaster(t), 4)
		store.before = func(s *fakeStore) { s.keys = append(s.keys, rival) }
		if _, err := ring.Remove(t.Context(), ids[mine]); !errors.Is(err, ErrKeyConflict) || len(store.keys) != 4 {
			t.Errorf("%s: %d keys, %v", mine, len(store.keys), err)
		}
		if _, err := ring.Remove(t.Context(), ids[mine]); err != nil {
			t.Errorf("%s, again: %v", mine, err)
		}
	}
}

func TestRemoveRefuses(t *testing.T) {
	store, ids := threeKeys(t, testMaster(t))
	twin := store.keys[0]
	twin.ID, twin.Generation = ids["superseded"][:12]+"-twin", 9
	away := errors.New("away")
	for reason, test := range map[string]struct {
		prefix string
		master Master
		spoil  func(*fakeStore)
		want   error
	}{
		"a text that is too short to mean one": {ids["signing"][:7], testMaster(t), nil, ErrUnknownKey},
		"nothing":                              {"", testMaster(t), nil, ErrUnknownKey},
		"an id of no key":                      {strings.Repeat("x", 43), testMaster(t), nil, ErrUnknownKey},
		"the end of an id":                     {ids["signing"][20:], testMaster(t), nil, ErrUnknownKey},
		"an id with more behind it":            {ids["signing"] + "x", testMaster(t), nil, ErrUnknownKey},
		"a secret that the servers do not have: it would cut them off": {ids["signing"], otherMaster(t), nil, ErrOtherMaster},
		"a database that is away":                                      {ids["signing"], testMaster(t), func(s *fakeStore) { s.err = away }, away},
	} {
		t.Run(reason, func(t *testing.T) {
			mine := &fakeStore{keys: slices.Clone(store.keys)}
			if test.spoil != nil {
				test.spoil(mine)
			}
			if _, err := NewKeyring(mine, test.master, ES256).Remove(t.Context(), test.prefix); !errors.Is(err, test.want) || !slices.EqualFunc(mine.keys, store.keys, func(a, b StoredKey) bool { return a.ID == b.ID }) {
				t.Errorf("%+v, %v", mine.keys, err)
			}
		})
	}
	if _, err := find(append(slices.Clone(store.keys), twin), ids["superseded"][:10]); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("two ids begin so: %v", err)
	}
}

func TestWhenAKeySignsTheDatabaseSays(t *testing.T) { // also of a key that is held already
	store, ids := threeKeys(t, testMaster(t))
	ring := loadedRing(t, store, ES256)
	store.keys[2].ActiveAt = time.Now()
	mustLoad(t, ring)
	if signs(t, ring) != ids["published"] {
		t.Error("the new instant is not taken over")
	}
}

func TestNoIDReadsAsAFlag(t *testing.T) {
	for range 500 {
		k, err := newStoredKey(testMaster(t), EdDSA, 1)
		if err != nil || strings.HasPrefix(k.ID, "-") {
			t.Fatal(k.ID, err)
		}
	}
}

// the other secret is not needed for signing keys any more once they are sealed again,
// and nobody is cut off by that: not those who run, whatever they know, nor those who start
// with both.
func TestReseal(t *testing.T) {
	masters := phases(t)
	store, ids := threeKeys(t, masters["A"])
	running := map[string]*Keyring{}
	for _, name := range []string{"A", "A with B", "B with A"} {
		running[name] = NewKeyring(store, masters[name], ES256)
		mustLoad(t, running[name])
	}
	startsWith := func(step string, names ...string) {
		t.Helper()
		for name, m := range masters {
			err := NewKeyring(store, m, ES256).Load(t.Context())
			if slices.Contains(names, name) != (err == nil) || (err != nil && !errors.Is(err, ErrOtherMaster)) {
				t.Errorf("%s: start with %s: %v", step, name, err)
			}
		}
		for name, ring := range running {
			if err := ring.Load(t.Context()); err != nil || signs(t, ring) != ids["signing"] {
				t.Errorf("%s: running with %s: %v", step, name, err)
			}
		}
	}
	startsWith("before", "A", "A with B", "B with A")
	if n, err := NewKeyring(store, masters["B"], ES256).Reseal(t.Context()); n != 0 || !errors.Is(err, ErrOtherMaster) {
		t.Errorf("by who cannot open them: %d, %v", n, err)
	}
	if n, err := running["A with B"].Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("already under the first: %d, %v", n, err)
	}
	startsWith("too early", "A", "A with B", "B with A")
	if n, err := running["B with A"].Reseal(t.Context()); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	startsWith("after", "A with B", "B with A", "B")
	store.err = errors.New("away")
	if _, err := running["B with A"].Reseal(t.Context()); !errors.Is(err, store.err) {
		t.Error(err)
	}
}

func TestRetiredKeysNeedNoSecret(t *testing.T) {
	store, _ := threeKeys(t, testMaster(t))
	alien := mustKey(t, otherMaster(t), 0)
	alien.ActiveAt = time.Now().Add(-48 * time.Hour)
	store.keys[0].ActiveAt = time.Now().Add(-24 * time.Hour)
	store.keys = append([]StoredKey{alien}, store.keys...)
	if n, err := loadedRing(t, store, ES256).Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// A process goes on with the keys that it can open, and still lets go of what was removed.
func TestKeyUnderAnUnknownSecretStopsNobody(t *testing.T) {
	store, ids := threeKeys(t, testMaster(t))
	ring := loadedRing(t, store, ES256)
	alien := mustKey(t, otherMaster(t), 4)
	alien.ActiveAt = time.Now()
	store.keys = append(store.keys[:1], alien) // signing and published are gone
	if err := ring.Load(t.Context()); !errors.Is(err, ErrOtherMaster) {
		t.Errorf("it is not told: %v", err)
	}
	if got := published(t, ring); !slices.Equal(got, []string{ids["superseded"]}) || ring.Age() > time.Minute {
		t.Errorf("published %v, read %v ago", got, ring.Age())
	}
	store.keys = store.keys[1:]
	if err := ring.Load(t.Context()); !errors.Is(err, ErrOtherMaster) {
		t.Error(err)
	}
	if _, err := newIssuer(t, ring).Feed(nil); !errors.Is(err, ErrNoKey) || !newIssuer(t, ring).IsOld(Feed{}, time.Now()) {
		t.Errorf("a feed without a key: %v", err)
	}
	if _, _, err := newIssuer(t, ring).Issue(Access{}); !errors.Is(err, ErrNoKey) || string(ring.JWKS()) != `{"keys":[]}` {
		t.Errorf("a removed key is still in use: %v, %s", err, ring.JWKS())
	}
}

func TestAgeGrowsWhileTheDatabaseIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		ring := NewKeyring(store, testMaster(t), ES256)
		if newIssuer(t, ring).KeysAge() < time.Hour {
			t.Error("keys that were never read are young")
		}
		mustLoad(t, ring)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go ring.Run(ctx, slog.New(slog.NewTextHandler(io.Discard, nil)))
		time.Sleep(time.Minute)
		synctest.Wait()
		if age := newIssuer(t, ring).KeysAge(); age > reloadInterval {
			t.Errorf("read every %v, but %v ago", reloadInterval, age)
		}
		store.fail(errors.New("away"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if age := newIssuer(t, ring).KeysAge(); age < time.Minute {
			t.Errorf("nothing was read for a minute, but %v ago", age)
		}
	})
}
