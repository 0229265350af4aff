package password

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNewPolicy(t *testing.T) {
	tests := map[string]struct {
		min int
		ok  bool
	}{
		"below 8 no setting may go (R-01)":           {7, false},
		"8 is the least (R-01)":                      {8, true},
		"15 is what NIST asks of a single factor":    {15, true},
		"64 must be accepted, so it may be demanded": {64, true},
		"more than 64 would refuse good passwords":   {65, false},
		"zero is a forgotten setting":                {0, false},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			p, err := NewPolicy(tt.min)
			if (err == nil) != tt.ok || tt.ok && p.MinLength != tt.min {
				t.Fatalf("NewPolicy(%d) = %+v, %v", tt.min, p, err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	words := []string{"Latchkey", "ada.lovelace@example.com", "Ada Lovelace", "ab"}
	tests := map[string]struct {
		min   int
		plain string
		want  Code // "" is accepted
	}{
		"nothing is too short":                                      {8, "", CodeTooShort},
		"seven code points are one too few (R-01)":                  {8, "qv7xk2m", CodeTooShort},
		"eight code points are enough (R-01)":                       {8, "qv7xk2mw", ""},
		"fourteen are too few where fifteen are set (R-01)":         {15, "qv7xk2mwqv7xk2", CodeTooShort},
		"fifteen are enough where fifteen are set (R-01)":           {15, "qv7xk2mwqv7xk2m", ""},
		"the zero policy still demands eight":                       {0, "qv7xk2m", CodeTooShort},
		"length is counted in code points, not bytes (R-03)":        {8, strings.Repeat("語", 7), CodeTooShort},
		"length is counted after NFC (R-03)":                        {8, strings.Repeat("e\u0301", 7), CodeTooShort},
		"64 CJK characters are accepted (R-02)":                     {8, strings.Repeat("語", 64), ""},
		"spaces count: a phrase is a password (R-02)":               {8, "a b c d e", ""},
		"emoji are accepted (R-02)":                                 {8, "😀😃😄😁😆😅🤣😂", ""},
		"256 code points are accepted (R-02)":                       {8, strings.Repeat("x", 256), ""},
		"257 code points are refused, not cut off (R-02)":           {8, strings.Repeat("x", 257), CodeTooLong},
		"256 code points of 4 bytes are exactly 1024 bytes (R-02)":  {8, strings.Repeat("😀", 256), ""},
		"a decomposed password of 256 letters is as good as NFC":    {8, strings.Repeat("\u1112\u1161\u11ab", 256), ""},
		"a megabyte is refused before it is normalised (R-02)":      {8, strings.Repeat("e\u0301", 1<<19), CodeTooLong},
		"U+FFFD stands for bytes that were lost (R-04)":             {8, "qv7xk2m\ufffd", CodeInvalid},
		"invalid UTF-8 cannot come back the same (R-04)":            {8, "qv7xk2m\xff", CodeInvalid},
		"NUL ends a password elsewhere":                             {8, "qv7xk2m\x00", CodeInvalid},
		"twenty lower-case letters are fine: no composition (R-05)": {8, "kqzjxwvbnmplokijuhyg", ""},
		"a common password is refused (R-06)":                       {8, "iloveyou", CodeBlocklisted},
		"so it is in other case (R-06)":                             {8, "PassWord", CodeBlocklisted},
		"the first of the list is found (R-06)":                     {8, commonList[:strings.IndexByte(commonList, '\n')], CodeBlocklisted},
		"a common password inside a longer one is not it (R-06)":    {8, "password of mine", ""},
		"the name of the service is the first guess (R-06)":         {8, "lATCHKEY", CodeBlocklisted},
		"the email is no password (R-06)":                           {8, "Ada.Lovelace@Example.com", CodeBlocklisted},
		"nor is what stands before its @ (R-06)":                    {8, "ada.lovelace", CodeBlocklisted},
		"nor is the person's name":                                  {8, "ada lovelace", CodeBlocklisted},
		"a context word inside a longer one is not it (R-06)":       {8, "latchkey forever", ""},
		"a short context word cannot match anything long enough":    {8, "abababab", ""},
		"a too short password says so, though it is a word too":     {8, "ab", CodeTooShort},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			err := Policy{MinLength: tt.min}.Check(tt.plain, words...)
			var refused *PolicyError
			if tt.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if !errors.As(err, &refused) || refused.Code != tt.want || refused.Message == "" {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if len(tt.plain) > 2 && strings.Contains(refused.Error()+refused.Message, tt.plain) {
				t.Fatalf("%v repeats the password", refused)
			}
		})
	}
}

// NFC, and not NFKC.
func TestNormalize(t *testing.T) {
	if Normalize("e\u0301") != "\u00e9" {
		t.Error("one letter typed in two ways must be one password")
	}
	if Normalize("\ufb01") == "fi" {
		t.Error("the ligature is another password: NFKC would merge them")
	}
}

// at least 3,000 entries, all of which a policy could otherwise accept, in
// the shape the search relies on.
func TestCommonList(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(commonList, "\n"), "\n")
	if len(lines) < 3000 || !strings.HasSuffix(commonList, "\n") {
		t.Fatalf("%d lines", len(lines))
	}
	if !slices.IsSorted(lines) || len(slices.Compact(slices.Clone(lines))) != len(lines) {
		t.Error("not sorted, or not unique")
	}
	for _, line := range lines {
		if fold(line) != line || utf8.RuneCountInString(line) < LowestMinLength {
			t.Errorf("%q is not folded or too short to matter", line)
		}
		if !isCommon(line) {
			t.Errorf("%q is listed and not found", line)
		}
		for _, near := range []string{line + "\x01", line[:len(line)-1] + "\x01", "\n" + line, line + "\n", line[1:]} {
			if _, listed := slices.BinarySearch(lines, near); isCommon(near) != listed {
				t.Errorf("isCommon(%q) = %v", near, !listed)
			}
		}
	}
	for _, absent := range []string{"", "\n", "\x00", "\xff\xff", "zzzzzzzzzzzzzzzzzzzz"} {
		if isCommon(absent) {
			t.Errorf("%q is found and not listed", absent)
		}
	}
}

func TestIsCommonAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { isCommon("kqzjxwvbnmplokijuhyg") }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"password", "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301", "\ufb01\ufb01\ufb01\ufb01\ufb01\ufb01\ufb01\ufb01", strings.Repeat("\u0301", 300), "\xff", "ẞẞẞẞẞẞẞẞ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, plain string) {
		err := Policy{MinLength: 8}.Check(plain, "Latchkey")
		if again := (Policy{MinLength: 8}).Check(Normalize(plain), "Latchkey"); (err == nil) != (again == nil) {
			t.Fatalf("%q: %v, normalised: %v", plain, err, again)
		}
		if err == nil && (TooLong(plain) || isCommon(fold(plain)) || !utf8.ValidString(plain)) {
			t.Fatalf("%q accepted", plain)
		}
		if Normalize(Normalize(plain)) != Normalize(plain) && utf8.ValidString(plain) {
			t.Fatalf("%q is not stable", plain)
		}
	})
}

func BenchmarkIsCommon(b *testing.B) {
	for name, s := range map[string]string{"hit": "iloveyou", "miss": "kqzjxwvbnmplokijuhyg"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				isCommon(s)
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := (Policy{MinLength: 8}).Check("correct horse battery", "Latchkey", "ada@example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
