package token

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "hunter2-canary"

// holder keeps secrets where fmt calls no method: in unexported fields.
type holder struct {
	secret Secret
	nested *Secret
	many   []Secret
	named  map[string]Secret
	Public Secret
}

func TestSecretIsRedactedByEveryVerb(t *testing.T) {
	s := NewSecret(canary)
	h := holder{s, &s, []Secret{s}, map[string]Secret{"a": s}, s}
	for reason, value := range map[string]any{
		"a secret": s, "a pointer to one": &s, "a list": []Secret{s}, "a struct that hides it": h, "a pointer to the struct": &h,
	} {
		for verb := '!'; verb < 0x7f; verb++ {
			for _, flags := range []string{"", "+", "#", "-40", "040", ".3"} {
				out := fmt.Sprintf("%"+flags+string(verb), value)
				if leaks(out) {
					t.Errorf("%s leaks through %%%s%c: %s", reason, flags, verb, out)
				}
			}
		}
	}
	if out := fmt.Sprint(s) + fmt.Sprintf("%#v", s) + s.String(); out != strings.Repeat("[redacted]", 3) {
		t.Errorf("%s", out)
	}
}

// leaks looks for the canary plain and in the forms that verbs and encoders give it.
func leaks(out string) bool {
	out = strings.ToLower(strings.NewReplacer(" ", "", "0x", "", ",", "").Replace(out))
	bytesOf := strings.Trim(strings.ReplaceAll(fmt.Sprint([]byte(canary)), " ", ""), "[]")
	for _, form := range []string{canary, "hun", fmt.Sprintf("%x", canary), bytesOf} {
		if strings.Contains(out, form) {
			return true
		}
	}
	return false
}

func TestSecretIsRedactedByEncoders(t *testing.T) {
	s := NewSecret(canary)
	h := holder{secret: s, nested: &s, Public: s}
	for reason, encode := range map[string]func(*bytes.Buffer) error{
		"JSON":     func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(h) },
		"JSON key": func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(map[Secret]Secret{s: s}) },
		"XML":      func(b *bytes.Buffer) error { return xml.NewEncoder(b).Encode(h) },
		"text log": func(b *bytes.Buffer) error {
			slog.New(slog.NewTextHandler(b, nil)).Info("x", "secret", s, "holder", h, "pointer", &s)
			return nil
		},
		"JSON log": func(b *bytes.Buffer) error {
			slog.New(slog.NewJSONHandler(b, nil)).Info("x", "secret", s, "holder", h, "pointer", &s)
			return nil
		},
		"log group": func(b *bytes.Buffer) error {
			slog.New(slog.NewJSONHandler(b, nil)).With("secret", s).WithGroup("g").Info("x", "secret", s)
			return nil
		},
	} {
		t.Run(reason, func(t *testing.T) {
			var out bytes.Buffer
			if err := encode(&out); err != nil {
				t.Fatal(err)
			}
			if leaks(out.String()) || !strings.Contains(out.String(), "[redacted]") {
				t.Error(out.String())
			}
		})
	}
}

func TestSecretEqual(t *testing.T) {
	for reason, test := range map[string]struct {
		a, b Secret
		want bool
	}{
		"the same value":                           {NewSecret("a"), NewSecret("a"), true},
		"another value":                            {NewSecret("a"), NewSecret("b"), false},
		"a prefix is another value":                {NewSecret("a"), NewSecret("ab"), false},
		"nothing equals nothing: it fails closed":  {Secret{}, Secret{}, false},
		"an empty value is nothing":                {NewSecret(""), NewSecret(""), false},
		"a stored nothing lets nobody in":          {NewSecret("a"), Secret{}, false},
		"a presented nothing opens nothing either": {Secret{}, NewSecret("a"), false},
	} {
		t.Run(reason, func(t *testing.T) {
			if got := test.a.Equal(test.b); got != test.want {
				t.Error(got)
			}
		})
	}
	if NewSecret("a").Reveal() != "a" || (Secret{}).Reveal() != "" || !(Secret{}).Empty() || NewSecret("a").Empty() {
		t.Error("Reveal or Empty is wrong")
	}
}

func TestKeysAreRedacted(t *testing.T) { // whole configurations get logged
	master := testMaster(t)
	key := master.Derive(PurposeRefreshTag)
	plain, derived := fmt.Sprint(master.secret), fmt.Sprint(key)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		out := fmt.Sprintf(format+format, master, NewRefreshCodec(master))
		if out != "[redacted][redacted]" {
			t.Errorf("%s: %s", format, out)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", struct{ M Master }{master}, "m", master)
	if strings.Contains(log.String(), plain) || strings.Contains(log.String(), derived) {
		t.Error(log.String())
	}
}
