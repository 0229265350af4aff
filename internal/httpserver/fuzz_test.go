package httpserver

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// A client's address is the peer's own, or one that a trusted proxy wrote.
func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1234", "198.51.100.1, 10.0.0.2")
	f.Add("10.0.0.1:1234", "203.0.113.9, 198.51.100.1")
	f.Add("192.0.2.7:1234", "198.51.100.1")
	f.Add("[fd00::1%eth0]:1234", "[2001:db8::1]:443,::ffff:10.0.0.3")
	f.Add("@", ", ,<script>")
	f.Add("10.0.0.1:99999", "fe80::1%25en0\x00")
	proxies := prefixes("10.0.0.0/8", "fd00::/8")
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		own := parseHop(peer)
		if got := clientAddress(peer, []string{forwarded}, nil); got != own {
			t.Fatalf("nobody is a proxy, and still: %v", got)
		}
		got := clientAddress(peer, []string{forwarded}, proxies)
		if got.Zone() != "" || got.Is4In6() || got.IsValid() != own.IsValid() {
			t.Fatalf("%v", got)
		}
		if got == own {
			return
		}
		hops := strings.Split(forwarded, ",")
		at := slices.IndexFunc(hops, func(hop string) bool { return parseHop(strings.TrimSpace(hop)) == got })
		if !contains(proxies, own) || at < 0 {
			t.Fatalf("%v is the word of a stranger", got)
		}
		trusted := func(hop string) bool { return contains(proxies, parseHop(strings.TrimSpace(hop))) }
		last := len(hops) - 1
		for last >= 0 && trusted(hops[last]) {
			last--
		}
		if last >= 0 && parseHop(strings.TrimSpace(hops[last])).IsValid() && got != parseHop(strings.TrimSpace(hops[last])) {
			t.Fatalf("%v, not the first from the right that is no proxy", got)
		}
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer a.b.c")
	f.Add("bEARER   a.b.c  ")
	f.Add("Basic YTpi")
	f.Add("Bearer")
	f.Fuzz(func(t *testing.T, header string) {
		value, err := bearer([]string{header})
		if err != nil || !strings.Contains(header, value) || value != strings.TrimSpace(value) {
			t.Fatalf("%q, %v", value, err)
		}
		if scheme, _, _ := strings.Cut(strings.TrimSpace(header), " "); value != "" && !strings.EqualFold(scheme, "Bearer") {
			t.Fatalf("%q of another scheme", value)
		}
		if value, err := bearer([]string{header, header}); err == nil || value != "" {
			t.Fatalf("two headers: %q", value)
		}
	})
}

// What a client says of itself is stored and logged: bounded, and without control characters.
func FuzzClip(f *testing.F) {
	f.Add("agent\x7f\t\xff", 10)
	f.Add(strings.Repeat("€", 100), 256)
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 0 || n > 1<<10 {
			return
		}
		got := clip(text, n)
		if !utf8.ValidString(got) || len(got) > n || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q", got)
		}
		if clip(got, n) != got {
			t.Fatalf("clipped again: %q", got)
		}
	})
}
