package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

// tagger makes and checks the tags of one purpose: HMAC-SHA256, made under the master secret,
// accepted under the one that it replaces too.
type tagger struct{ keys [][32]byte }

func newTagger(m Master, p Purpose) tagger { return tagger{m.Keys(p)} }

// Format implements fmt.Formatter: a key prints as nothing.
func (tagger) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

func (t tagger) tag(message []byte) []byte {
	if len(t.keys) == 0 {
		panic("token: zero tagger") // fail closed: no tag under an empty key
	}
	return tagUnder(t.keys[0], message)
}

func (t tagger) genuine(tag, message []byte) bool {
	for _, key := range t.keys {
		if hmac.Equal(tag, tagUnder(key, message)) {
			return true
		}
	}
	return false
}

func tagUnder(key [32]byte, message []byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(message)
	return mac.Sum(nil)
}
