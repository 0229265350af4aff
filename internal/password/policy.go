// Package password decides which plain passwords an account accepts.
package password

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The hard limits of every password. Longer input is refused, never cut off
// (R-02, ASVS 6.2.8). They are counted after Normalize.
const (
	MaxCodePoints = 256
	MaxBytes      = 1024

	// maxRawBytes bounds what is normalised at all. Decomposed text is at most
	// three times as long as its NFC, so nothing that could fit is lost.
	maxRawBytes = 4 * MaxBytes
)

// The range of the configured minimum (NIST SP 800-63B-4 section 3.1.1.2: at
// least 8; verifiers accept at least 64).
const (
	LowestMinLength  = 8
	HighestMinLength = 64
)

// Code is the machine-readable reason of a PolicyError.
type Code string

// The codes, as the schema spells them.
const (
	CodeTooShort    Code = "PASSWORD_TOO_SHORT"
	CodeTooLong     Code = "PASSWORD_TOO_LONG"
	CodeInvalid     Code = "PASSWORD_INVALID"
	CodeBlocklisted Code = "PASSWORD_BLOCKLISTED"
)

// PolicyError says why a password may not be set. Message is one English
// sentence for the person who typed it and repeats nothing of the password.
type PolicyError struct {
	Code    Code
	Message string
}

// Error returns the code, never the password.
func (e *PolicyError) Error() string { return "password: refused: " + string(e.Code) }

// Normalize returns the form in which a password is counted, hashed and
// compared: NFC (R-03; NIST SP 800-63B-4 section 3.1.1.2), so that a letter
// typed as one code point equals the same letter typed as two. It is not NFKC:
// "ﬁ" stays different from "fi". Check, Hash, Verify and Dummy call it
// themselves.
func Normalize(plain string) string {
	return norm.NFC.String(plain)
}

// TooLong reports whether no password can be this long. It is cheap, and
// asked before anything is hashed.
func TooLong(plain string) bool {
	if len(plain) > maxRawBytes {
		return true
	}
	plain = Normalize(plain)
	return len(plain) > MaxBytes || utf8.RuneCountInString(plain) > MaxCodePoints
}

// Policy is what a new password must satisfy. It has no composition rules and
// no expiry. The zero Policy demands LowestMinLength.
type Policy struct {
	MinLength int // code points after Normalize
}

// NewPolicy returns a Policy, or an error for a minimum outside
// LowestMinLength to HighestMinLength.
func NewPolicy(minLength int) (Policy, error) {
	if minLength < LowestMinLength || minLength > HighestMinLength {
		return Policy{}, fmt.Errorf("password: minimum length %d is not between %d and %d",
			minLength, LowestMinLength, HighestMinLength)
	}
	return Policy{MinLength: minLength}, nil
}

// Check returns nil or a *PolicyError. contextWords are what an attacker of
// this account tries first: the name of the service, the email, the person's
// name; of a word with an "@" the part before it counts as well.
//
// The whole password is compared, case-folded, with the words and with the
// built-in list (R-06, NIST: never parts of it). Words need no minimum length: a
// short one can only equal a password that is too short already.
func (p Policy) Check(plain string, contextWords ...string) error {
	if err := refuse(plain); err != nil {
		return err
	}
	least := max(p.MinLength, LowestMinLength)
	if utf8.RuneCountInString(Normalize(plain)) < least {
		return &PolicyError{CodeTooShort, fmt.Sprintf("The password needs at least %d characters.", least)}
	}
	folded := fold(plain)
	if isContext(folded, contextWords) {
		return &PolicyError{CodeBlocklisted, "The password must not be your name, your email address or the name of this service."}
	}
	if isCommon(folded) {
		return &PolicyError{CodeBlocklisted, "This password is one of the most common ones. Choose another."}
	}
	return nil
}

// refuse returns a *PolicyError for what no policy can allow: Hash relies on it.
func refuse(plain string) error {
	switch {
	case plain == "":
		return &PolicyError{CodeTooShort, "Enter a password."}
	case TooLong(plain):
		return &PolicyError{CodeTooLong, fmt.Sprintf("The password may have at most %d characters.", MaxCodePoints)}
	case !utf8.ValidString(plain) || strings.ContainsAny(plain, "\x00\ufffd"):
		// U+FFFD is what encoding/json makes of every broken byte: different
		// passwords would collapse into one.
		return &PolicyError{CodeInvalid, "The password contains a character that cannot be stored."}
	}
	return nil
}

func isContext(folded string, words []string) bool {
	for _, word := range words {
		word = fold(word)
		local, _, _ := strings.Cut(word, "@")
		if folded == word || folded == local {
			return true
		}
	}
	return false
}
