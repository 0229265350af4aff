package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func someRefresh() Refresh {
	r := Refresh{SessionID: uuid.MustParse("0190a5d6-7c1e-7000-8000-0000000000aa"), Generation: 7}
	copy(r.Random[:], "thirty-two bytes, not so random!")
	return r
}

func TestRefreshRoundTrip(t *testing.T) {
	codec := NewRefreshCodec(testMaster(t))
	for reason, r := range map[string]Refresh{
		"a new session":            NewRefresh(uuid.New()),
		"a later generation":       someRefresh(),
		"the nil session":          {},
		"the last generation":      {Generation: math.MaxInt64 - 1},
		"a generation of 32 bits":  {Generation: math.MaxUint32 + 5},
		"random bits that are all": {Random: [32]byte(bytes.Repeat([]byte{0xff}, 32))},
	} {
		t.Run(reason, func(t *testing.T) {
			text := codec.Encode(r)
			if again := codec.Encode(r); again.Reveal() != text.Reveal() {
				t.Error("one token has two spellings: repeats would not be byte-identical")
			}
			got, err := NewRefreshCodec(testMaster(t)).Decode(text)
			if err != nil || got != r {
				t.Errorf("%+v, %v", got, err)
			}
			if len(text.Reveal()) != 119 || strings.Trim(text.Reveal(), base64URL) != "" {
				t.Errorf("%d characters, not 119 of the URL alphabet", len(text.Reveal()))
			}
		})
	}
}

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestRefreshIsRandomAndStoredAsAHash(t *testing.T) {
	id := uuid.New()
	seen := map[[32]byte]bool{}
	for range 10_000 {
		r := NewRefresh(id)
		if seen[r.Random] || r.SessionID != id || r.Generation != 0 {
			t.Fatalf("%+v", r)
		}
		seen[r.Random] = true
	}
	r := someRefresh()
	sum := sha256.Sum256(r.Random[:])
	if !bytes.Equal(r.SecretHash(), sum[:]) {
		t.Error("SecretHash is not SHA-256 of the random part")
	}
	next := r
	next.Generation++
	if !bytes.Equal(r.SecretHash(), next.SecretHash()) {
		t.Error("a successor has another hash: the session's row could not find it")
	}
}

// sealRefresh writes any fields under a tag by any key.
func sealRefresh(version byte, generation uint64, key []byte) Secret {
	r := someRefresh()
	raw := append([]byte{version}, r.SessionID[:]...)
	raw = binary.BigEndian.AppendUint64(raw, generation)
	raw = append(raw, r.Random[:]...)
	mac := hmac.New(sha256.New, key)
	mac.Write(raw)
	return NewSecret(base64.RawURLEncoding.EncodeToString(mac.Sum(raw)))
}

func TestRefreshRefusesWhatItDidNotWrite(t *testing.T) {
	master := testMaster(t)
	codec, key := NewRefreshCodec(master), master.Derive(PurposeRefreshTag)
	limitKey := master.Derive(PurposeLimitKey)
	genuine := codec.Encode(someRefresh()).Reveal()
	raw, _ := base64.RawURLEncoding.DecodeString(genuine)
	if sealRefresh(1, 7, key[:]).Reveal() != genuine {
		t.Fatal("sealRefresh does not write what Encode writes: this test proves nothing")
	}
	for reason, text := range map[string]string{
		"nothing":                             "",
		"rubbish of the right length":         strings.Repeat("A", len(genuine)),
		"a character too few":                 genuine[:len(genuine)-1],
		"a character too many":                genuine + "A",
		"padded":                              genuine + "=",
		"a blank in front":                    " " + genuine,
		"a line break inside":                 genuine[:50] + "\n" + genuine[50:],
		"a line break instead of the end":     genuine[:len(genuine)-1] + "\n",
		"the standard alphabet":               strings.NewReplacer("-", "+", "_", "/").Replace(genuine[:118]) + "+",
		"twice":                               genuine + genuine,
		"without its tag":                     base64.RawURLEncoding.EncodeToString(raw[:refreshTagged]),
		"with half a tag":                     base64.RawURLEncoding.EncodeToString(raw[:refreshTagged+16]),
		"a tag of zeros":                      base64.RawURLEncoding.EncodeToString(append(raw[:refreshTagged:refreshTagged], make([]byte, 32)...)),
		"a tag without a key":                 sealRefresh(1, 7, nil).Reveal(),
		"a tag under the session's hash":      sealRefresh(1, 7, someRefresh().SecretHash()).Reveal(),
		"a tag under the master itself":       sealRefresh(1, 7, master.secret).Reveal(),
		"a tag under another purpose":         sealRefresh(1, 7, limitKey[:]).Reveal(),
		"another version, even if we sign it": sealRefresh(2, 7, key[:]).Reveal(),
		"version zero":                        sealRefresh(0, 7, key[:]).Reveal(),
		"a generation without a successor":    sealRefresh(1, math.MaxInt64, key[:]).Reveal(),
		"a generation that reads as negative": sealRefresh(1, math.MaxUint64, key[:]).Reveal(),
		"of another installation":             NewRefreshCodec(otherMaster(t)).Encode(someRefresh()).Reveal(),
	} {
		t.Run(reason, func(t *testing.T) {
			if r, err := codec.Decode(NewSecret(text)); !errors.Is(err, ErrRefreshInvalid) || r != (Refresh{}) {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestRefreshTagCoversEveryBit(t *testing.T) { // the session id in a JWT is not enough
	codec := NewRefreshCodec(testMaster(t))
	raw, _ := base64.RawURLEncoding.DecodeString(codec.Encode(someRefresh()).Reveal())
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			if _, err := codec.Decode(NewSecret(base64.RawURLEncoding.EncodeToString(changed))); !errors.Is(err, ErrRefreshInvalid) {
				t.Fatalf("bit %d of byte %d is free: %v", bit, i, err)
			}
		}
	}
	for _, generation := range []uint64{0, 6, 8} {
		changed := bytes.Clone(raw)
		binary.BigEndian.PutUint64(changed[17:], generation)
		if _, err := codec.Decode(NewSecret(base64.RawURLEncoding.EncodeToString(changed))); !errors.Is(err, ErrRefreshInvalid) {
			t.Errorf("generation %d can be faked: a stranger could end the session", generation)
		}
	}
}

func TestRefreshHasOneSpelling(t *testing.T) {
	codec := NewRefreshCodec(testMaster(t))
	genuine := codec.Encode(someRefresh()).Reveal()
	last := strings.IndexByte(base64URL, genuine[len(genuine)-1])
	for spare := range 4 { // 119 characters are 714 bits, two more than 89 bytes
		text := genuine[:len(genuine)-1] + string(base64URL[last&^3|spare])
		if _, err := codec.Decode(NewSecret(text)); (err == nil) != (text == genuine) {
			t.Errorf("spare bits %02b: %v", spare, err)
		}
	}
}

func FuzzRefreshDecode(f *testing.F) {
	codec := NewRefreshCodec(testMaster(f))
	f.Add("")
	f.Add(codec.Encode(someRefresh()).Reveal())
	f.Add(strings.Repeat("A", 119))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := codec.Decode(NewSecret(text))
		if err != nil {
			if !errors.Is(err, ErrRefreshInvalid) || r != (Refresh{}) {
				t.Fatalf("%+v, %v", r, err)
			}
			return
		}
		if codec.Encode(r).Reveal() != text || r.Generation < 0 {
			t.Fatalf("accepted another spelling of %+v", r)
		}
	})
}
