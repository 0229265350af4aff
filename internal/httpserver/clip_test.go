package httpserver

import "testing"

func TestClip(t *testing.T) {
	for reason, test := range map[string]struct{ in, want string }{
		"what browsers call themselves":         {"Mozilla/5.0 (X11; Linux x86_64) Firefox/144.0", "Mozilla/5.0 (X11; Linux x86_64) Firefox/144.0"},
		"a terminal is not driven":              {"a\x1b[31m\u009b31mb\r\n", "a[31m31mb"},
		"a line is not rearranged":              {"a\u202eb\u2066c\u200f", "abc"},
		"bytes that are no text":                {"a\xffb", "ab"},
		"cut within a character, which is lost": {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	} {
		if got := clip(test.in, 50); got != test.want {
			t.Errorf("%s: %q", reason, got)
		}
	}
}
