package token

import (
	"encoding/base64"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

const deviceAccount = "ada@example.com"

func TestDeviceMark(t *testing.T) {
	codec := NewDeviceCodec(testMaster(t))
	id := NewDeviceID()
	mark := codec.Encode(id, deviceAccount)
	got, err := codec.Decode(mark, deviceAccount)
	if err != nil || got != id {
		t.Fatal(got, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(mark.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw { // no byte of it can be another
		other := append([]byte(nil), raw...)
		other[i] ^= 1
		if _, err := codec.Decode(NewSecret(base64.RawURLEncoding.EncodeToString(other)), deviceAccount); !errors.Is(err, ErrDeviceInvalid) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for reason, text := range map[string]string{
		"nothing":           "",
		"a shorter one":     mark.Reveal()[:len(mark.Reveal())-4],
		"a longer one":      mark.Reveal() + "AAAA",
		"one with a break":  mark.Reveal()[:len(mark.Reveal())-1] + "\n",
		"a refresh token":   NewRefreshCodec(testMaster(t)).Encode(NewRefresh([16]byte{1})).Reveal(),
		"not base64":        "!" + mark.Reveal()[1:],
		"another alphabet":  base64.RawStdEncoding.EncodeToString(append([]byte{0xfb, 0xff}, raw[2:]...)),
		"another account's": codec.Encode(id, "eve@example.com").Reveal(),
	} {
		if _, err := codec.Decode(NewSecret(text), deviceAccount); !errors.Is(err, ErrDeviceInvalid) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// The instant of issue cannot run into the account.
func TestDeviceMarkIsBoundToItsAccount(t *testing.T) {
	codec := NewDeviceCodec(testMaster(t))
	mark := codec.Encode(NewDeviceID(), deviceAccount)
	for _, account := range []string{"", "ada@example.co", "ada@example.com ", "da@example.com", "Ada@example.com"} {
		if _, err := codec.Decode(mark, account); err == nil {
			t.Errorf("good for %q", account)
		}
	}
}

func TestDeviceMarkEnds(t *testing.T) {
	master := testMaster(t)
	synctest.Test(t, func(t *testing.T) {
		codec := NewDeviceCodec(master)
		mark := codec.Encode(NewDeviceID(), deviceAccount)
		time.Sleep(DeviceTTL - time.Second)
		if _, err := codec.Decode(mark, deviceAccount); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if _, err := codec.Decode(mark, deviceAccount); !errors.Is(err, ErrDeviceInvalid) {
			t.Fatal(err)
		}
	})
}

func FuzzDeviceMark(f *testing.F) {
	master, err := ParseMaster(GenerateMaster().Reveal())
	if err != nil {
		f.Fatal(err)
	}
	codec := NewDeviceCodec(master)
	f.Add(codec.Encode(NewDeviceID(), deviceAccount).Reveal(), deviceAccount)
	f.Fuzz(func(t *testing.T, text, account string) {
		id, err := codec.Decode(NewSecret(text), account)
		if err == nil && (account != deviceAccount || id == DeviceID{}) {
			t.Errorf("accepted %q for %q", text, account)
		}
	})
}
