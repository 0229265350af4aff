package token

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// testMaster is the same in every run: random, and used nowhere else.
func testMaster(t testing.TB) Master {
	return parsedMaster(t, "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/c=")
}

func otherMaster(t testing.TB) Master {
	return parsedMaster(t, "kqvO7yQk2nU3bO6nM5YVJHqAVGf6vS1yFmYB3Jm1c0Y=")
}

func parsedMaster(t testing.TB, text string) Master {
	t.Helper()
	m, err := ParseMaster(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseMasterRefusesWeakSecrets(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	sequence, down, stride := make([]byte, 32), make([]byte, 32), make([]byte, 32)
	for i := range 32 {
		sequence[i], down[i], stride[i] = byte(i), byte(200-i), byte(7*i)
	}
	for reason, text := range map[string]string{
		"empty":                                  "",
		"blanks only":                            "   \n",
		"padding only":                           "====",
		"31 bytes are one too few":               encode([]byte("0123456789abcdefghijklmnopqrstu")),
		"a password is not base64":               "correct horse battery staple, and so on!",
		"hexadecimal of 16 bytes is short":       "00112233445566778899aabbccddeeff",
		"the two alphabets mixed":                "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8_c=",
		"bits behind the end are not ours":       "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/d=",
		"one byte repeated":                      encode(bytes.Repeat([]byte{0xa7}, 32)),
		"zeros":                                  encode(make([]byte, 48)),
		"a short word repeated":                  encode([]byte(strings.Repeat("xYz1", 12))),
		"the letter A, as in sample files":       strings.Repeat("A", 44),
		"counted up":                             encode(sequence),
		"counted down":                           encode(down),
		"counted in sevens":                      encode(stride),
		"a placeholder":                          encode([]byte("please-Change-me-before-you-go-live-123")),
		"the word secret in some spelling":       encode([]byte("MyVerySECRETkey-0123456789-abcdefgh")),
		"the word password":                      encode([]byte("a-long-passWord-0123456789-bcdfghjk")),
		"an example":                             encode([]byte("0123456789-example-bcdfghjklmnpqrst")),
		"a placeholder that is itself base64ish": "changemechangemechangemechangemechangemechange",
	} {
		t.Run(reason, func(t *testing.T) {
			_, err := ParseMaster(text)
			if !errors.Is(err, ErrWeakMaster) {
				t.Fatalf("accepted: %v", err)
			}
			if trimmed := strings.TrimSpace(text); len(trimmed) > 4 && strings.Contains(err.Error(), trimmed) {
				t.Errorf("the error repeats it: %v", err)
			}
		})
	}
}

func TestParseMasterReadsWhatToolsWrite(t *testing.T) {
	want := testMaster(t).Derive(PurposeRefreshTag)
	for reason, text := range map[string]string{
		"openssl rand -base64 32":       "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/c=",
		"a file ends with a line break": "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/c=\n",
		"without padding":               "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/c",
		"the URL alphabet":              "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g-uzIVHzi6sSeQ8_c=",
		"the URL alphabet, no padding":  "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g-uzIVHzi6sSeQ8_c",
	} {
		t.Run(reason, func(t *testing.T) {
			if parsedMaster(t, text).Derive(PurposeRefreshTag) != want {
				t.Error("another key than from the standard form")
			}
		})
	}
	seen := map[string]bool{}
	for range 50 {
		made := GenerateMaster()
		if seen[made.Reveal()] {
			t.Fatal("generated twice")
		}
		seen[made.Reveal()] = true
		parsedMaster(t, made.Reveal())
	}
}

func TestEveryPurposeHasAKeyOfItsOwn(t *testing.T) {
	seen := map[[32]byte]string{}
	for name, m := range map[string]Master{"one": testMaster(t), "other": otherMaster(t)} {
		for _, p := range []Purpose{PurposeRefreshTag, PurposeSigningSeal, PurposeAccountKey, PurposeLimitKey, PurposeDeviceTag} {
			key := m.Derive(p)
			if before, used := seen[key]; used {
				t.Errorf("%s %s has the key of %s", name, p, before)
			}
			seen[key] = name + " " + string(p)
			if key != m.Derive(p) {
				t.Errorf("%s is not the same every time", p)
			}
			if bytes.Equal(key[:], m.secret) {
				t.Errorf("%s is the master secret itself", p)
			}
		}
	}
}

func TestZeroMasterFailsClosed(t *testing.T) {
	for reason, use := range map[string]func(){
		"no key from nothing": func() { (Master{}).Derive(PurposeRefreshTag) },
		"no seal":             func() { (Master{}).Seal(PurposeSigningSeal, []byte("x"), "") },
		"no tag":              func() { (RefreshCodec{}).Encode(Refresh{}) },
		"no list of keys":     func() { (Master{}).Keys(PurposeRefreshTag) },
	} {
		t.Run(reason, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it worked")
				}
			}()
			use()
		})
	}
}

func TestMasterDoesNotShareItsBytes(t *testing.T) {
	raw := bytes.Clone(testMaster(t).secret)
	m, err := NewMaster(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if m.Derive(PurposeLimitKey) != testMaster(t).Derive(PurposeLimitKey) {
		t.Error("the caller's slice is the master secret")
	}
}

func TestOpenNeedsWhatSealHad(t *testing.T) {
	m := testMaster(t)
	sealed := m.Seal(PurposeSigningSeal, []byte("the key"), "kid-1")
	plain, err := m.Open(PurposeSigningSeal, sealed, "kid-1")
	if err != nil || string(plain) != "the key" {
		t.Fatalf("%q, %v", plain, err)
	}
	if again := m.Seal(PurposeSigningSeal, []byte("the key"), "kid-1"); bytes.Equal(again, sealed) {
		t.Error("two seals of one text are equal: the nonce repeats")
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 0x10
		if _, err := m.Open(PurposeSigningSeal, changed, "kid-1"); !errors.Is(err, ErrUnsealable) {
			t.Fatalf("byte %d may change: %v", i, err)
		}
	}
	for reason, test := range map[string]struct {
		master  Master
		purpose Purpose
		sealed  []byte
		context string
	}{
		"another context: rows cannot be swapped": {m, PurposeSigningSeal, sealed, "kid-2"},
		"no context":         {m, PurposeSigningSeal, sealed, ""},
		"another purpose":    {m, PurposeAccountKey, sealed, "kid-1"},
		"another master":     {otherMaster(t), PurposeSigningSeal, sealed, "kid-1"},
		"cut off":            {m, PurposeSigningSeal, sealed[:len(sealed)-1], "kid-1"},
		"shorter than a tag": {m, PurposeSigningSeal, sealed[:5], "kid-1"},
		"empty":              {m, PurposeSigningSeal, nil, "kid-1"},
	} {
		t.Run(reason, func(t *testing.T) {
			if plain, err := test.master.Open(test.purpose, test.sealed, test.context); !errors.Is(err, ErrUnsealable) || plain != nil {
				t.Errorf("%q, %v", plain, err)
			}
		})
	}
}

func TestPseudonym(t *testing.T) {
	name := NewPseudonym(testMaster(t))
	a := name("canary@example.com")
	switch {
	case len(a) != 16 || strings.Trim(a, "0123456789abcdef") != "":
		t.Errorf("%q is not 16 hexadecimal digits", a)
	case a != NewPseudonym(testMaster(t))("canary@example.com"):
		t.Error("replicas call one account by two names")
	case a == name("canary@example.org"):
		t.Error("two accounts have one name")
	case a == NewPseudonym(otherMaster(t))("canary@example.com"):
		t.Error("the name can be computed without the master secret")
	}
}

// A secret is long enough and read the same in every spelling, or refused without being repeated.
func FuzzParseMaster(f *testing.F) {
	f.Add("0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/c=")
	f.Add("0Lr8cAmRhgpBB8yyzVY9ZTzFh0g-uzIVHzi6sSeQ8_c\n")
	f.Add("change-me")
	f.Add(strings.Repeat("A", 44))
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMaster(text)
		if err != nil {
			if !errors.Is(err, ErrWeakMaster) || (len(text) > 20 && strings.Contains(err.Error(), text)) {
				t.Fatal(err)
			}
			return
		}
		if len(m.secret) < MinMasterBytes || looksMadeUp(m.secret) {
			t.Fatalf("accepted %d bytes", len(m.secret))
		}
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if again, err := ParseMaster(encoding.EncodeToString(m.secret)); err != nil || !bytes.Equal(again.secret, m.secret) {
				t.Fatalf("read differently: %v", err)
			}
		}
	})
}
