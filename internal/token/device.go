package token

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrDeviceInvalid: not a mark that this installation gave a device of the account, or one that is over.
var ErrDeviceInvalid = errors.New("token: not a device mark of ours for this account")

const (
	deviceVersion = 1
	deviceTagged  = 1 + 16 + 8 // version, id, instant of issue
	deviceLength  = deviceTagged + 32

	// DeviceTTL is how long a device is known after a log-in.
	DeviceTTL = 365 * 24 * time.Hour
)

// DeviceID names a browser that has once logged in to an account. It is no secret and proves nothing.
type DeviceID [16]byte

// NewDeviceID returns a fresh random id.
func NewDeviceID() DeviceID {
	var id DeviceID
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails: it ends the program instead
	return id
}

// String returns the id as text, for a rate limit's key.
func (d DeviceID) String() string { return base64.RawURLEncoding.EncodeToString(d[:]) }

// DeviceCodec writes and reads the marks of known devices:
// base64url(version ‖ id ‖ instant of issue ‖ HMAC-SHA256 over all before and the account).
// A mark signs nobody in. It gives its device a login budget that strangers cannot use up
// (R-33; OWASP, "Slow Down Online Guessing Attacks with Device Cookies"), and names nobody.
type DeviceCodec struct{ tags tagger }

// NewDeviceCodec derives the keys of the tag.
func NewDeviceCodec(m Master) DeviceCodec { return DeviceCodec{newTagger(m, PurposeDeviceTag)} }

// Format implements fmt.Formatter: a key prints as nothing.
func (DeviceCodec) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// Encode returns the mark of a device for an account, which is a normalised email address.
func (c DeviceCodec) Encode(id DeviceID, account string) Secret {
	raw := make([]byte, 0, deviceLength)
	raw = append(raw, deviceVersion)
	raw = append(raw, id[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(time.Now().Unix()))
	raw = append(raw, c.tags.tag(tagged(raw, account))...)
	return NewSecret(base64.RawURLEncoding.EncodeToString(raw))
}

// Decode returns the device that a mark names, or ErrDeviceInvalid: for a wrong length, alphabet,
// version or tag, another account, or a mark older than DeviceTTL.
func (c DeviceCodec) Decode(s Secret, account string) (DeviceID, error) {
	text := s.Reveal()
	if len(text) != base64.RawURLEncoding.EncodedLen(deviceLength) {
		return DeviceID{}, ErrDeviceInvalid
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != deviceLength || raw[0] != deviceVersion ||
		!c.tags.genuine(raw[deviceTagged:], tagged(raw[:deviceTagged], account)) {
		return DeviceID{}, ErrDeviceInvalid
	}
	issued := time.Unix(int64(binary.BigEndian.Uint64(raw[17:25])), 0)
	if time.Since(issued) > DeviceTTL {
		return DeviceID{}, ErrDeviceInvalid
	}
	return DeviceID(raw[1:17]), nil
}

// tagged is what the tag covers; the prefix has a fixed length, so nothing runs into another.
func tagged(prefix []byte, account string) []byte {
	return append(append(make([]byte, 0, len(prefix)+len(account)), prefix...), account...)
}
