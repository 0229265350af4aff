package token

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// While the master secret A gives way to B, servers have {A}, {A with B}, {B with A} and {B},
// the first of each for new things.
func phases(t testing.TB) map[string]Master {
	t.Helper()
	a, b := testMaster(t), otherMaster(t)
	with := func(m, other Master) Master {
		both, err := m.With(other)
		if err != nil {
			t.Fatal(err)
		}
		return both
	}
	return map[string]Master{"A": a, "A with B": with(a, b), "B with A": with(b, a), "B": b}
}

// readable says whose things each server reads; what a server makes is its first secret's.
var readable = map[string]map[string]bool{
	"A":        {"A": true, "A with B": true},
	"A with B": {"A": true, "A with B": true, "B with A": true, "B": true},
	"B with A": {"A": true, "A with B": true, "B with A": true, "B": true},
	"B":        {"B": true, "B with A": true},
}

func TestWhatOneSecretMadeBothRead(t *testing.T) {
	masters := phases(t)
	for reader, sources := range readable {
		for maker := range masters {
			t.Run(fmt.Sprintf("%s reads what %s made", reader, maker), func(t *testing.T) {
				token := NewRefreshCodec(masters[maker]).Encode(someRefresh())
				if r, err := NewRefreshCodec(masters[reader]).Decode(token); (err == nil && r == someRefresh()) != sources[maker] {
					t.Errorf("refresh token: %+v, %v", r, err)
				}
				id := NewDeviceID()
				mark := NewDeviceCodec(masters[maker]).Encode(id, "a@example.com")
				if got, err := NewDeviceCodec(masters[reader]).Decode(mark, "a@example.com"); (err == nil && got == id) != sources[maker] {
					t.Errorf("mark of a device: %v, %v", got, err)
				}
				sealed := masters[maker].Seal(PurposeSigningSeal, []byte("the key"), "kid")
				if plain, err := masters[reader].Open(PurposeSigningSeal, sealed, "kid"); (err == nil && string(plain) == "the key") != sources[maker] {
					t.Errorf("sealed key: %q, %v", plain, err)
				}
				if slices.Contains(masters[reader].Keys(PurposeLimitKey), masters[maker].Derive(PurposeLimitKey)) != sources[maker] {
					t.Error("key")
				}
			})
		}
	}
}

// The second secret is for reading alone: whoever has only the first must read all that is new.
func TestTheOtherSecretMakesNothing(t *testing.T) {
	masters := phases(t)
	for both, first := range map[string]string{"A with B": "A", "B with A": "B"} {
		m, alone := masters[both], masters[first]
		if NewRefreshCodec(m).Encode(someRefresh()).Reveal() != NewRefreshCodec(alone).Encode(someRefresh()).Reveal() {
			t.Errorf("%s: a refresh token", both)
		}
		if _, err := alone.Open(PurposeSigningSeal, m.Seal(PurposeSigningSeal, nil, ""), ""); err != nil {
			t.Errorf("%s: a sealed key", both)
		}
		for _, p := range []Purpose{PurposeRefreshTag, PurposeDeviceTag, PurposeSigningSeal, PurposeAccountKey, PurposeLimitKey} {
			if m.Derive(p) != alone.Derive(p) || m.Keys(p)[0] != alone.Derive(p) || len(m.Keys(p)) != 2 || len(alone.Keys(p)) != 1 {
				t.Errorf("%s: keys for %s", both, p)
			}
		}
		if NewPseudonym(m)("a@example.com") != NewPseudonym(alone)("a@example.com") {
			t.Errorf("%s: a pseudonym", both)
		}
	}
}

func TestASecretDoesNotReplaceItself(t *testing.T) { // equal values refuse to start
	m := testMaster(t)
	if _, err := m.With(testMaster(t)); !errors.Is(err, ErrWeakMaster) {
		t.Errorf("%v", err)
	}
	if alone, err := m.With(Master{}); err != nil || len(alone.Keys(PurposeLimitKey)) != 1 {
		t.Errorf("with no other: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		both, tags := phases(t)["A with B"], newTagger(m, PurposeRefreshTag)
		if said := fmt.Sprintf(verb+verb, both, tags); said != redacted+redacted {
			t.Errorf("%s prints %s", verb, said)
		}
	}
}
