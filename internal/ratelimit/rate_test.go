package ratelimit

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	tests := map[string]struct {
		in   string
		want Rate
	}{
		"the usual form":                     {"20/5m", Rate{20, 5 * time.Minute}},
		"seconds are a period":               {"1/1s", Rate{1, time.Second}},
		"an hour needs no zeros":             {"5/1h", Rate{5, time.Hour}},
		"minutes above an hour are one hour": {"5/90m", Rate{5, 90 * time.Minute}},
		"thirty days are the longest period": {"100/720h", Rate{100, 720 * time.Hour}},
		"a thousand million is the most":     {"1000000000/1s", Rate{1_000_000_000, time.Second}},
		"ten minutes keep their zero":        {"10/10m", Rate{10, 10 * time.Minute}},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			got, err := ParseRate(tt.in)
			if err != nil || got != tt.want {
				t.Fatalf("ParseRate(%q) = %+v, %v", tt.in, got, err)
			}
			if again, err := ParseRate(got.String()); err != nil || again != got {
				t.Fatalf("%+v -> %q -> %+v, %v", got, got.String(), again, err)
			}
		})
	}
	if s := (Rate{20, 5 * time.Minute}).String(); s != "20/5m" {
		t.Errorf("String() = %q", s)
	}
	if s := (Rate{10, 10*time.Hour + 10*time.Minute}).String(); s != "10/10h10m" {
		t.Errorf("String() = %q", s)
	}
}

func TestParseRateRefuses(t *testing.T) {
	tests := map[string]struct{ in, says string }{
		"there is no way to switch a limit off":     {"off", "of the form 20/5m"},
		"nothing is no limit":                       {"", "of the form 20/5m"},
		"a limit of zero would lock everybody out":  {"0/5m", "the limit"},
		"a negative limit is a mistake":             {"-1/5m", "the limit"},
		"a limit without number":                    {"/5m", "the limit"},
		"a limit beyond counting":                   {"1000000001/5m", "the limit"},
		"a limit beyond 63 bits":                    {"9223372036854775808/5m", "the limit"},
		"a fraction of a unit does not exist":       {"1.5/5m", "the limit"},
		"a period without unit":                     {"20/5", "a duration"},
		"a unit without number":                     {"20/m", "a duration"},
		"no period":                                 {"20/", "a duration"},
		"half a second is too short":                {"20/500ms", "whole number of seconds"},
		"parts of a second are not told to anybody": {"20/1500ms", "whole number of seconds"},
		"a negative period is a mistake":            {"20/-5m", "whole number of seconds"},
		"a period beyond 30 days keeps memory":      {"20/721h", "whole number of seconds"},
		"two rates are not one":                     {"20/5m/5m", "a duration"},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			got, err := ParseRate(tt.in)
			if err == nil || got != (Rate{}) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("ParseRate(%q) = %+v, %v; want %q", tt.in, got, err, tt.says)
			}
		})
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"20/5m", "off", "1/1h1m1s", "+1/1s", "1/1e3s", "9/0.5h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		if again, err := ParseRate(r.String()); err != nil || again != r || r.check() != nil {
			t.Fatalf("%q -> %+v -> %q -> %+v, %v", s, r, r.String(), again, err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	tests := map[string]struct{ left, want time.Duration }{
		"whole seconds stay":                     {30 * time.Second, 30 * time.Second},
		"a part of a second is a second":         {29*time.Second + 1, 30 * time.Second},
		"at least one second":                    {time.Millisecond, time.Second},
		"an end that is past is a second":        {-time.Hour, time.Second},
		"never more than the period of a minute": {61 * time.Second, time.Minute},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			if got := retryAfter(tt.left, time.Minute); got != tt.want {
				t.Fatalf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestAddressKey(t *testing.T) {
	tests := map[string]struct{ addr, key, network string }{
		"an IPv4 address is one client (R-35)":              {"203.0.113.9", "203.0.113.9/32", "203.0.113.0/24"},
		"an IPv4-mapped address is the IPv4 one (R-35)":     {"::ffff:203.0.113.9", "203.0.113.9/32", "203.0.113.0/24"},
		"a subscriber has a whole /64 (R-35)":               {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		"another address of it is the same client (R-35)":   {"2001:db8:1:2:ffff::", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		"the next /64 is another client (R-35)":             {"2001:db8:1:3::1", "2001:db8:1:3::/64", "2001:db8:1::/48"},
		"a zone names our interface, not the client (R-35)": {"fe80::1%eth0", "fe80::/64", "fe80::/48"},
		"loopback is an address":                            {"::1", "::/64", "::/48"},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			addr := netip.MustParseAddr(tt.addr)
			if key, network := AddressKey(addr), NetworkKey(addr); key != tt.key || network != tt.network {
				t.Fatalf("%q, %q; want %q, %q", key, network, tt.key, tt.network)
			}
		})
	}
	if AddressKey(netip.Addr{}) != "unknown" || NetworkKey(netip.Addr{}) != "unknown" {
		t.Error("clients without an address share one bucket (R-37)")
	}
}

func FuzzAddressKey(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, "")
	f.Add(make([]byte, 16), "eth0")
	f.Fuzz(func(t *testing.T, b []byte, zone string) {
		addr, _ := netip.AddrFromSlice(b)
		plain := AddressKey(addr)
		if plain == "" || AddressKey(addr.WithZone(zone)) != plain || AddressKey(addr.Unmap()) != plain {
			t.Fatalf("%v: %q", addr, plain)
		}
	})
}
