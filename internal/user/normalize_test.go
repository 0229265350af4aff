package user

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// one spelling per account.
func TestNormalizeEmail(t *testing.T) {
	local64 := strings.Repeat("a", 64)
	tests := map[string]struct{ in, want string }{
		"capitals make no second account (R-20)":                           {"User@Ex.com", "user@ex.com"},
		"spaces around it come from copying (R-20)":                        {" user@ex.com\r\n", "user@ex.com"},
		"a decomposed letter is the same letter (R-20)":                    {"e\u0301@ex.com", "\u00e9@ex.com"},
		"a capital that is decomposed is the same letter":                  {"E\u0301@ex.com", "\u00e9@ex.com"},
		"the Kelvin sign is canonically a K":                               {"\u212a@ex.com", "k@ex.com"},
		"a dotted capital İ must not become another person's ASCII i":      {"m\u0130ke@ex.com", "mi\u0307ke@ex.com"},
		"an international domain stays as typed":                           {"a@Bücher.example", "a@bücher.example"},
		"a domain with marks is a word in its script":                      {"a@उदाहरण.भारत", "a@उदाहरण.भारत"},
		"punycode is an ordinary label":                                    {"a@xn--bcher-kva.example", "a@xn--bcher-kva.example"},
		"localhost is what developers type":                                {"dev@localhost", "dev@localhost"},
		"a tag is part of the address: only its provider knows what it is": {"a+tag@ex.com", "a+tag@ex.com"},
		"an apostrophe is in real names":                                   {"o'neil@ex.com", "o'neil@ex.com"},
		"two dots are against the RFC and in use all the same":             {"a..b.@ex.com", "a..b.@ex.com"},
		"64 bytes before the @ is the limit of RFC 5321":                   {local64 + "@ex.com", local64 + "@ex.com"},
		"a label may start with a digit":                                   {"a@1and1.com", "a@1and1.com"},
		"the widest spelling may shrink below the limit by normalising":    {strings.Repeat("e\u0301", 32) + "@ex.com", strings.Repeat("\u00e9", 32) + "@ex.com"},
		"a final sigma and a sigma stay what they are, in lower case":      {"ΟΔΟΣ@ex.com", "οδοσ@ex.com"},
		"a domain of four labels is ordinary":                              {"a@b.c.d.example", "a@b.c.d.example"},
		"an underscore is fine before the @":                               {"a_b@ex.com", "a_b@ex.com"},
		"spaces of other scripts around it are spaces":                     {"\u3000a@ex.com\u00a0", "a@ex.com"},
		"a plus, a slash and an equals sign are atoms of RFC 5322":         {"a/b=c@ex.com", "a/b=c@ex.com"},
		"a one-letter address is an address":                               {"a@b.co", "a@b.co"},
		"a hyphen inside a label is ordinary":                              {"a@my-host.example", "a@my-host.example"},
		"a letter beyond the basic plane is a letter":                      {"\U00010400@ex.com", "\U00010428@ex.com"},
		"a name in another script before the @ is allowed (RFC 6531)":      {"用户@例子.广告", "用户@例子.广告"},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			got, err := NormalizeEmail(tt.in)
			if err != nil || got != tt.want {
				t.Fatalf("NormalizeEmail(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestNormalizeEmailRefuses(t *testing.T) {
	tests := map[string]string{
		"nothing is no address":                                 "",
		"spaces alone are no address":                           "  \t",
		"without an @ it is a name":                             "user.example.com",
		"two @ leave open whose domain it is":                   "a@b@ex.com",
		"the local part is missing":                             "@ex.com",
		"the domain is missing":                                 "a@",
		"NUL does not fit into Postgres text (R-20)":            "a\x00@x.com",
		"a line break could add a mail header":                  "a@ex.com\r\nBcc: b@ex.com",
		"a space inside is a typing mistake":                    "a b@ex.com",
		"a no-break space inside is a space":                    "a\u00a0b@ex.com",
		"invalid UTF-8 collapses to U+FFFD elsewhere (R-04)":    "a\xff@ex.com",
		"U+FFFD stands for bytes that were lost (R-04)":         "a\ufffd@ex.com",
		"a zero-width space makes an invisible second account":  "a\u200b@ex.com",
		"a bidi override shows another address than it is":      "a\u202e@ex.com",
		"a soft hyphen cannot be seen":                          "a\u00ad@ex.com",
		"a byte order mark cannot be seen":                      "a\ufeffb@ex.com",
		"a private-use character means nothing to anybody else": "a\ue000@ex.com",
		"angle brackets end an address in a header":             "a>@ex.com",
		"a comma makes two addresses in a header":               "a,b@ex.com",
		"a quoted local part is not supported":                  `"a"@ex.com`,
		"a Greek question mark is canonically a semicolon":      "a\u037e@ex.com",
		"an address literal is no domain name":                  "a@[192.0.2.1]",
		"a bare IPv4 address is no domain name":                 "a@192.0.2.1",
		"a single label other than localhost reaches nobody":    "a@intranet",
		"a trailing dot would make a second spelling":           "a@ex.com.",
		"a leading dot is an empty label":                       "a@.ex.com",
		"an empty label inside is no domain":                    "a@ex..com",
		"a label must not start with a hyphen":                  "a@-ex.com",
		"a label must not end with a hyphen":                    "a@ex-.com",
		"an underscore is no letter of a host name":             "a@e_x.com",
		"an ideographic full stop is not the dot":               "a@ex\u3002com",
		"a label has at most 63 bytes":                          "a@" + strings.Repeat("b", 64) + ".com",
		"65 bytes before the @ are one too many":                strings.Repeat("a", 65) + "@ex.com",
		"64 code points of two bytes are 128 bytes":             strings.Repeat("\u00e9", 64) + "@ex.com",
		"255 bytes in all are one too many":                     "a@" + strings.Repeat("b.", 125) + "com",
		"a megabyte is refused before it is normalised":         strings.Repeat("a", 1<<20),
	}
	for reason, in := range tests {
		t.Run(reason, func(t *testing.T) {
			got, err := NormalizeEmail(in)
			if !errors.Is(err, ErrInvalidEmail) || got != "" {
				t.Fatalf("NormalizeEmail(%.80q) = %q, %v; want ErrInvalidEmail", in, got, err)
			}
			var input *InputError
			if !errors.As(err, &input) || input.Message == "" {
				t.Fatalf("%v carries no message for the client", err)
			}
		})
	}
}

// what was typed never comes back.
func TestInputErrorEchoesNothing(t *testing.T) {
	_, err := NormalizeEmail("canary canary@canary")
	if strings.Contains(err.Error(), "canary") {
		t.Fatalf("%q repeats the input", err)
	}
}

func TestNormalizeName(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"no name is a name":                                  {"", ""},
		"spaces alone are no name":                           {" \n ", ""},
		"spaces around it come from copying":                 {" Ada Lovelace ", "Ada Lovelace"},
		"capitals and spaces inside are the person's own":    {"van der Berg", "van der Berg"},
		"a decomposed letter is the same letter":             {"Rene\u0301", "Ren\u00e9"},
		"the joiner holds an emoji together":                 {"👩\u200d💻", "👩\u200d💻"},
		"the non-joiner is spelling in Persian":              {"علی\u200cرضا", "علی\u200cرضا"},
		"200 code points is the limit, whatever their bytes": {strings.Repeat("語", 200), strings.Repeat("語", 200)},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			got, err := NormalizeName(tt.in)
			if err != nil || got != tt.want {
				t.Fatalf("NormalizeName(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestNormalizeNameRefuses(t *testing.T) {
	tests := map[string]string{
		"201 code points are one too many":              strings.Repeat("a", 201),
		"NUL does not fit into Postgres text":           "a\x00b",
		"a line break forges a second line in a log":    "a\nb",
		"an escape moves the reader's cursor":           "a\x1b[2Jb",
		"a C1 control is a control":                     "a\u0085b",
		"a bidi override turns the text after it":       "a\u202eb",
		"a bidi isolate turns the text after it":        "a\u2066b",
		"a line separator is a line break":              "a\u2028b",
		"a zero-width space cannot be seen":             "a\u200bb",
		"a joiner alone cannot be seen":                 "\u200d",
		"invalid UTF-8 is nobody's name":                "a\xff",
		"U+FFFD stands for bytes that were lost":        "a\ufffd",
		"a megabyte is refused before it is normalised": strings.Repeat("a", 1<<20),
	}
	for reason, in := range tests {
		t.Run(reason, func(t *testing.T) {
			if got, err := NormalizeName(in); !errors.Is(err, ErrInvalidName) || got != "" {
				t.Fatalf("NormalizeName(%.80q) = %q, %v; want ErrInvalidName", in, got, err)
			}
		})
	}
}

// the result is a fixed point, or one person has two accounts.
func FuzzNormalizeEmail(f *testing.F) {
	for _, s := range []string{"User@Ex.com", "e\u0301@ex.com", "\u0130@ex.com", "a@b@c", "a@\u212a.de", "ŐΣς@ΟΔΟΣ.gr", "a\u0345@ex.com", "\u1e9e@ex.com", "ǅ@ǅ.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		once, err := NormalizeEmail(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalidEmail) || once != "" {
				t.Fatalf("NormalizeEmail(%q) = %q, %v", raw, once, err)
			}
			return
		}
		twice, err := NormalizeEmail(once)
		if err != nil || twice != once {
			t.Fatalf("%q -> %q -> %q, %v", raw, once, twice, err)
		}
		if upper, err := NormalizeEmail(norm.NFD.String(once)); err != nil || upper != once {
			t.Fatalf("%q decomposed -> %q, %v", once, upper, err)
		}
		if len(once) > MaxEmailBytes || strings.Count(once, "@") != 1 || !norm.NFC.IsNormalString(once) || strings.ContainsAny(once, "\x00\r\n <>,") {
			t.Fatalf("%q -> %q", raw, once)
		}
	})
}

func FuzzNormalizeName(f *testing.F) {
	for _, s := range []string{"Ada", " e\u0301 ", "a\u202eb", "👩\u200d💻", "\u2000a\u2001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		once, err := NormalizeName(raw)
		if err != nil {
			return
		}
		twice, err := NormalizeName(once)
		if err != nil || twice != once || !utf8.ValidString(once) || strings.ContainsAny(once, "\x00\r\n\u202e") {
			t.Fatalf("%q -> %q -> %q, %v", raw, once, twice, err)
		}
	})
}

func BenchmarkNormalizeEmail(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NormalizeEmail("ada.lovelace@example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
