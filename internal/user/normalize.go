package user

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The longest values that are accepted, counted after normalising.
const (
	MaxEmailBytes      = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets
	MaxLocalBytes      = 64  // RFC 5321 section 4.5.3.1.1
	MaxNameCodePoints  = 200
	maxLabelBytes      = 63 // RFC 1035 section 2.3.4
	maxRawBytes        = 4 << 10
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

var (
	// ErrInvalidEmail is matched by every error of NormalizeEmail.
	ErrInvalidEmail = errors.New("user: invalid email")
	// ErrInvalidName is matched by every error of NormalizeName.
	ErrInvalidName = errors.New("user: invalid name")
)

// InputError says what is wrong with one typed value. Message is one English
// sentence for the person who typed it and repeats nothing of the value
// . errors.Is matches ErrInvalidEmail or ErrInvalidName.
type InputError struct {
	Message string
	kind    error
}

// Error returns the sentinel's text and the message.
func (e *InputError) Error() string { return e.kind.Error() + ": " + e.Message }

// Unwrap returns ErrInvalidEmail or ErrInvalidName.
func (e *InputError) Unwrap() error { return e.kind }

func badEmail(message string) error { return &InputError{Message: message, kind: ErrInvalidEmail} }
func badName(message string) error  { return &InputError{Message: message, kind: ErrInvalidName} }

// NormalizeEmail returns the one spelling of an address that is used for
// look-up, uniqueness, throttle keys and audit: trimmed, NFC and in
// lower case. Two addresses are the same account exactly when their results are
// equal, and the result of a result is the result.
//
// It accepts one "@" between a local part of at most MaxLocalBytes and a domain
// of two or more labels (or "localhost"), as typed: letters of any script, but
// no invisible character, no space, no quoted local part and no address
// literal. Whether mail arrives there only a verification can tell. The error
// is an *InputError that matches ErrInvalidEmail.
func NormalizeEmail(raw string) (string, error) {
	if len(raw) > maxRawBytes {
		return "", badEmail("The email address is too long.")
	}
	if !utf8.ValidString(raw) {
		return "", badEmail("The email address contains a character that is not allowed.")
	}
	email := foldEmail(strings.TrimSpace(raw))
	if email == "" {
		return "", badEmail("Enter an email address.")
	}
	local, domain, found := strings.Cut(email, "@")
	switch {
	case !found || local == "" || domain == "" || strings.Contains(domain, "@"):
		return "", badEmail("An email address looks like name@example.com.")
	case len(email) > MaxEmailBytes || len(local) > MaxLocalBytes:
		return "", badEmail("The email address is too long.")
	case strings.ContainsFunc(email, notInEmail) || foldEmail(email) != email:
		return "", badEmail("The email address contains a character that is not allowed.")
	case !validDomain(domain):
		return "", badEmail("The part after the @ is not a domain name.")
	}
	return email, nil
}

// foldEmail lower-cases U+0130 (İ) to "i" and a combining dot, as Unicode's full
// mapping does: the simple mapping to a bare "i" would hand one person's ASCII
// address to another who types the look-alike.
func foldEmail(s string) string {
	s = strings.ReplaceAll(norm.NFC.String(s), "\u0130", "i\u0307")
	return norm.NFC.String(strings.ToLower(s))
}

// notInEmail reports a rune that no address here may contain: what cannot be
// seen (controls, spaces, bidi and zero-width characters, unassigned ones), the
// replacement character, and the specials of RFC 5322 section 3.2.3, which
// could end the address inside a mail header.
func notInEmail(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == utf8.RuneError ||
		strings.ContainsRune(`()<>[]:;,\"`, r)
}

func validDomain(domain string) bool {
	if domain == "localhost" {
		return true
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if label == "" || len(label) > maxLabelBytes ||
			strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, notInLabel) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(labels) > 1 && strings.Trim(last, "0123456789") != ""
}

func notInLabel(r rune) bool {
	return r != '-' && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r)
}

// NormalizeName returns a display name trimmed and in NFC; "" is a valid name
// and means none. It refuses more than MaxNameCodePoints, line breaks, control
// and bidirectional characters (they could rewrite the text around the name)
// and a name that cannot be seen; the joiners that some scripts and emoji need
// are kept. The error is an *InputError that matches ErrInvalidName.
func NormalizeName(raw string) (string, error) {
	if len(raw) > maxRawBytes {
		return "", badName("The name is too long.")
	}
	if !utf8.ValidString(raw) {
		return "", badName("The name contains a character that is not allowed.")
	}
	name := norm.NFC.String(strings.TrimSpace(raw))
	switch {
	case name == "":
		return "", nil
	case utf8.RuneCountInString(name) > MaxNameCodePoints:
		return "", badName("The name is too long.")
	case strings.ContainsFunc(name, notInName), !strings.ContainsFunc(name, unicode.IsGraphic):
		return "", badName("The name contains a character that is not allowed.")
	}
	return name, nil
}

func notInName(r rune) bool {
	if r == zeroWidthJoiner || r == zeroWidthNonJoiner {
		return false
	}
	return !unicode.IsGraphic(r) || r == utf8.RuneError
}
