package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

func TestSigningKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		k := token.StoredKey{ID: "a", Generation: 1, Algorithm: token.ES256, SealedKey: []byte{1, 2}}
		if err := db.AddSigningKey(t.Context(), k, 0); err != nil {
			t.Fatal(err)
		}
		k.ID = "b"
		if err := db.AddSigningKey(t.Context(), k, 0); !errors.Is(err, token.ErrKeyConflict) {
			t.Errorf("the same generation: %v", err)
		}
		k.Generation = 2
		if err := db.AddSigningKey(t.Context(), k, time.Hour); err != nil {
			t.Fatal(err)
		}
		keys, now, err := db.SigningKeys(t.Context())
		if err != nil || len(keys) != 2 || keys[0].ID != "a" || string(keys[0].SealedKey) != "\x01\x02" {
			t.Fatalf("%+v, %v", keys, err)
		}
		if d := keys[1].ActiveAt.Sub(now); d < 59*time.Minute || d > time.Hour {
			t.Errorf("active in %v", d)
		}
		if err := db.DeleteSigningKeys(t.Context(), []string{"a"}); err != nil {
			t.Fatal(err)
		}
		if keys, _, _ = db.SigningKeys(t.Context()); len(keys) != 1 {
			t.Errorf("left: %v", keys)
		}
		left := func(want ...string) {
			t.Helper()
			keys, _, err := db.SigningKeys(t.Context())
			var got []string
			for _, k := range keys {
				got = append(got, k.ID+string(k.SealedKey))
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("left: %q, not %q, %v", got, want, err)
			}
		}
		// both or neither, or there would be a moment without a key.
		k = token.StoredKey{ID: "c", Generation: 2, Algorithm: token.ES256, SealedKey: []byte("1")}
		if err := db.ReplaceSigningKey(t.Context(), "b", k, 0); !errors.Is(err, token.ErrKeyConflict) {
			t.Errorf("replaced by one of the same generation: %v", err)
		}
		left("b\x01\x02")
		k.Generation = 3
		if err := db.ReplaceSigningKey(t.Context(), "b", k, 0); err != nil {
			t.Error(err)
		}
		left("c1")
		for _, reseal := range []struct{ id, from, to, want string }{
			{"c", "1", "2", "c2"}, {"c", "1", "3", "c2"}, {"gone", "2", "3", "c2"},
		} {
			if err := db.ResealSigningKey(t.Context(), reseal.id, []byte(reseal.from), []byte(reseal.to)); err != nil {
				t.Error(err)
			}
			left(reseal.want)
		}
		if err := db.DeleteSigningKeys(t.Context(), []string{"c"}); err != nil {
			t.Fatal(err)
		}
		if keys, now, err := db.SigningKeys(t.Context()); len(keys) != 0 || !now.IsZero() || err != nil {
			t.Errorf("without keys: %v, %v, %v", keys, now, err)
		}
	})
}
