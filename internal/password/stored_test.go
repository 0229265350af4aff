package password

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const (
	salt16 = "AAECAwQFBgcICQoLDA0ODw"
	key32  = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)

func TestParseArgon2(t *testing.T) {
	stored := "$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32
	h, err := parseArgon2(stored)
	if err != nil || h.params != (params{19456, 2, 1}) || len(h.salt) != 16 || len(h.key) != 32 || h.String() != stored {
		t.Fatalf("%+v, %v", h, err)
	}
}

// what is out of bounds is refused before anything of its size exists.
func TestParseArgon2Refuses(t *testing.T) {
	tests := map[string]string{
		"nothing is an account without a password":   "",
		"a plain text was never a hash":              "hunter2",
		"argon2i is another function":                "$argon2i$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32,
		"version 16 is another function":             "$argon2id$v=16$m=19456,t=2,p=1$" + salt16 + "$" + key32,
		"4 GiB is a denial of service":               "$argon2id$v=19$m=4194304,t=2,p=1$" + salt16 + "$" + key32,
		"one KiB over 256 MiB is over":               "$argon2id$v=19$m=262145,t=2,p=1$" + salt16 + "$" + key32,
		"17 passes are one too many":                 "$argon2id$v=19$m=19456,t=17,p=1$" + salt16 + "$" + key32,
		"17 lanes are one too many":                  "$argon2id$v=19$m=19456,t=2,p=17$" + salt16 + "$" + key32,
		"256 lanes must not wrap to 0":               "$argon2id$v=19$m=19456,t=2,p=256$" + salt16 + "$" + key32,
		"no memory is no work":                       "$argon2id$v=19$m=0,t=2,p=1$" + salt16 + "$" + key32,
		"no passes is a panic in x/crypto":           "$argon2id$v=19$m=19456,t=0,p=1$" + salt16 + "$" + key32,
		"no lanes is a panic in x/crypto":            "$argon2id$v=19$m=19456,t=2,p=0$" + salt16 + "$" + key32,
		"less than 8 KiB a lane is against RFC 9106": "$argon2id$v=19$m=64,t=2,p=9$" + salt16 + "$" + key32,
		"a leading zero is a second spelling":        "$argon2id$v=19$m=019456,t=2,p=1$" + salt16 + "$" + key32,
		"a sign is a second spelling":                "$argon2id$v=19$m=+19456,t=2,p=1$" + salt16 + "$" + key32,
		"a number that does not fit in 64 bits":      "$argon2id$v=19$m=99999999999999999999,t=2,p=1$" + salt16 + "$" + key32,
		"a number is missing":                        "$argon2id$v=19$m=,t=2,p=1$" + salt16 + "$" + key32,
		"the order of the costs is fixed":            "$argon2id$v=19$t=2,m=19456,p=1$" + salt16 + "$" + key32,
		"a key id is not known here":                 "$argon2id$v=19$m=19456,t=2,p=1,keyid=a$" + salt16 + "$" + key32,
		"a salt of 7 bytes is too short":             "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBg$" + key32,
		"a salt of 65 bytes is too long":             "$argon2id$v=19$m=19456,t=2,p=1$" + strings.Repeat("A", 87) + "$" + key32,
		"a key of 15 bytes is guessed too soon":      "$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + strings.Repeat("A", 20),
		"an empty key would equal nothing at all":    "$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$",
		"a key of 65 bytes is too long":              "$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + strings.Repeat("A", 87),
		"padding is a second spelling":               "$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "==$" + key32,
		"loose last bits are a second spelling":      "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0OD1$" + key32,
		"a line break inside is a second spelling":   "$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "\n$" + key32,
		"a field too many":                           "$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32 + "$",
		"a space in front":                           " $argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32,
		"a megabyte is refused before it is split":   strings.Repeat("$", 1<<20),
	}
	for reason, stored := range tests {
		t.Run(reason, func(t *testing.T) {
			if h, err := parseArgon2(stored); !errors.Is(err, ErrUnusableHash) {
				t.Fatalf("%+v, %v", h, err)
			}
		})
	}
}

func TestCheckBcrypt(t *testing.T) {
	tail := strings.Repeat("a", 53)
	tests := map[string]struct {
		stored string
		ok     bool
	}{
		"2a is what most libraries write":            {"$2a$10$" + tail, true},
		"2b is OpenBSD's":                            {"$2b$10$" + tail, true},
		"2y is PHP's":                                {"$2y$14$" + tail, true},
		"2x marks hashes of a broken implementation": {"$2x$10$" + tail, false},
		"2 without a letter is older than the fix":   {"$2$10$" + tail + "a", false},
		"cost 15 would take seconds (R-10)":          {"$2a$15$" + tail, false},
		"cost 31 would take days (R-10)":             {"$2a$31$" + tail, false},
		"cost 3 does not exist":                      {"$2a$03$" + tail, false},
		"a cost is two digits":                       {"$2a$1a$" + tail, false},
		"a sign is no digit":                         {"$2a$+9$" + tail, false},
		"a hash that was cut off in a column":        {"$2a$10$" + tail[1:], false},
		"a hash with something behind it":            {"$2a$10$" + tail + "a", false},
		"a prefix alone":                             {"$2", false},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			if !isBcrypt(tt.stored) {
				t.Fatal("claims to be bcrypt")
			}
			if err := checkBcrypt(tt.stored); (err == nil) != tt.ok || !tt.ok && !errors.Is(err, ErrUnusableHash) {
				t.Fatal(err)
			}
		})
	}
}

// whatever is parsed is inside the bounds and has one spelling.
func FuzzParseArgon2(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$" + salt16 + "$" + key32)
	f.Add("$argon2id$v=19$m=262144,t=16,p=16$" + salt16 + "$" + key32)
	f.Add("$argon2id$v=19$m=4194304,t=2,p=1$" + salt16 + "$" + key32)
	f.Add("$2a$10$" + strings.Repeat("a", 53))
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, stored string) {
		_ = isBcrypt(stored) && checkBcrypt(stored) == nil
		h, err := parseArgon2(stored)
		if err != nil {
			return
		}
		if h.String() != stored {
			t.Fatalf("%q -> %q", stored, h)
		}
		if h.memoryKiB > maxMemoryKiB || h.time < 1 || h.time > maxTime || h.threads < 1 || h.threads > maxThreads ||
			len(h.salt) < minSaltBytes || len(h.salt) > maxSaltBytes || len(h.key) < minKeyBytes || len(h.key) > maxKeyBytes {
			t.Fatalf("%q is out of bounds", stored)
		}
	})
}

// what Hash writes, Verify reads.
func FuzzArgon2String(f *testing.F) {
	f.Add(uint32(19456), uint32(2), []byte("0123456789abcdef"), []byte("0123456789abcdef0123456789abcdef"))
	f.Fuzz(func(t *testing.T, memory, time uint32, salt, key []byte) {
		in := argon2Hash{params{memory, time, threads}, salt, key}
		out, err := parseArgon2(in.String())
		if err == nil && (out.params != in.params || !bytes.Equal(out.salt, salt) || !bytes.Equal(out.key, key)) {
			t.Fatalf("%+v -> %+v", in, out)
		}
		if err != nil && strongEnough(memory, time) && memory <= maxMemoryKiB && time <= maxTime && len(salt) == saltBytes && len(key) == keyBytes {
			t.Fatalf("%s is refused", in)
		}
	})
}
