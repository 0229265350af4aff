package password

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The bounds of a stored hash: nothing outside them is ever computed, so
// that a row from an import or an attacker cannot order a gigabyte of memory.
const (
	maxMemoryKiB  = 256 << 10
	maxTime       = 16
	maxThreads    = 16
	minSaltBytes  = 8
	maxSaltBytes  = 64
	minKeyBytes   = 16
	maxKeyBytes   = 64
	maxStored     = 512
	maxBcryptCost = 14
	minBcryptCost = 4
	bcryptLength  = 60
	// maxBcryptPlain is all that bcrypt reads. Go's comparison ignores the rest
	// silently: "72 bytes and anything" would be accepted.
	maxBcryptPlain = 72
)

// What Hash writes.
const (
	saltBytes = 16
	keyBytes  = 32
	threads   = 1
)

// params are the costs of Argon2id, RFC 9106 section 3.1.
type params struct {
	memoryKiB, time uint32
	threads         uint8
}

// argon2Hash is a stored string in the PHC format, taken apart.
type argon2Hash struct {
	params
	salt, key []byte
}

var base64Strict = base64.RawStdEncoding.Strict()

// String returns the one spelling that parseArgon2 accepts:
// $argon2id$v=19$m=19456,t=2,p=1$salt$key in base64 without padding.
func (h argon2Hash) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.memoryKiB, h.time, h.threads, base64Strict.EncodeToString(h.salt), base64Strict.EncodeToString(h.key))
}

// parseArgon2 takes a stored string apart, or returns ErrUnusableHash for
// anything but the exact spelling with every number inside its bounds.
func parseArgon2(stored string) (argon2Hash, error) {
	var h argon2Hash
	if len(stored) > maxStored {
		return h, ErrUnusableHash
	}
	field := strings.Split(stored, "$")
	if len(field) != 6 || field[0] != "" || field[1] != "argon2id" || field[2] != "v=19" {
		return h, ErrUnusableHash
	}
	cost := strings.Split(field[3], ",")
	if len(cost) != 3 {
		return h, ErrUnusableHash
	}
	memory, ok1 := number(cost[0], "m=", 8, maxMemoryKiB)
	time, ok2 := number(cost[1], "t=", 1, maxTime)
	lanes, ok3 := number(cost[2], "p=", 1, maxThreads)
	if !ok1 || !ok2 || !ok3 || memory < 8*lanes {
		return h, ErrUnusableHash
	}
	salt, ok4 := bytesBetween(field[4], minSaltBytes, maxSaltBytes)
	key, ok5 := bytesBetween(field[5], minKeyBytes, maxKeyBytes)
	if !ok4 || !ok5 {
		return h, ErrUnusableHash
	}
	return argon2Hash{params{memory, time, uint8(lanes)}, salt, key}, nil
}

// number parses "name" and a decimal without sign or leading zero.
func number(s, name string, least, most uint32) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || digits[0] == '0' || n < uint64(least) || n > uint64(most) {
		return 0, false
	}
	return uint32(n), true
}

func bytesBetween(s string, least, most int) ([]byte, bool) {
	if n := base64Strict.DecodedLen(len(s)); n < least || n > most || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	b, err := base64Strict.DecodeString(s)
	return b, err == nil
}

// isBcrypt reports whether stored claims to be a bcrypt hash.
func isBcrypt(stored string) bool {
	return strings.HasPrefix(stored, "$2")
}

// checkBcrypt returns ErrUnusableHash unless stored has the shape of a bcrypt
// hash whose cost is one the server is ready to pay.
func checkBcrypt(stored string) error {
	if len(stored) != bcryptLength || !strings.ContainsRune("aby", rune(stored[2])) || stored[3] != '$' || stored[6] != '$' {
		return ErrUnusableHash
	}
	cost, err := strconv.ParseUint(stored[4:6], 10, 8)
	if err != nil || cost < minBcryptCost || cost > maxBcryptCost {
		return ErrUnusableHash
	}
	return nil
}
