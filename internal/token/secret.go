// Package token makes and checks the strings that prove who a caller is.
package token

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret holds a value that must not reach a log, a trace or an error: it prints,
// logs and marshals as "[redacted]". Reveal is the only way out and can be grepped. Compare
// with Equal: == compares identities.
type Secret struct {
	// A pointer, because fmt calls no method of an unexported field but does not follow it.
	plain *string
}

// NewSecret wraps plain.
func NewSecret(plain string) Secret { return Secret{&plain} }

// Reveal returns the wrapped value.
func (s Secret) Reveal() string {
	if s.plain == nil {
		return ""
	}
	return *s.plain
}

// Empty reports whether there is no value at all.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// Equal compares in constant time. An empty secret equals nothing, another empty one included.
func (s Secret) Equal(other Secret) bool {
	return !s.Empty() && subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb reaches the field.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
