package config

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What is accepted as an origin is one to browsers and to net/http, and means no more than one.
func FuzzOrigins(f *testing.F) {
	f.Add("https://app.example.com")
	f.Add("HTTPS://App.Example.com:443,http://[::1]:5173")
	f.Add("https://*.example.com")
	f.Add("https://a:b@example.com")
	f.Add("http://127.0.0.1:80, null")
	f.Add("https://\x81")
	f.Fuzz(func(t *testing.T, list string) {
		for _, development := range []bool{false, true} {
			c := checker{}
			for _, origin := range c.origins(list, development) {
				u, err := url.Parse(origin)
				if err != nil || u.Scheme+"://"+u.Host != origin || strings.ContainsAny(u.Host, "*@ \\") {
					t.Fatalf("%q: %v", origin, err)
				}
				if u.Scheme == "http" && !isLoopback(u.Hostname()) {
					t.Fatalf("%q lets passwords travel in the clear", origin)
				}
				if err := http.NewCrossOriginProtection().AddTrustedOrigin(origin); err != nil {
					t.Fatalf("%q would end the start: %v", origin, err)
				}
				again, err := parseOrigin(origin)
				if err != nil || again.String() != origin {
					t.Fatalf("%q has another spelling: %v, %v", origin, again, err)
				}
			}
		}
	})
}

// A proxy is an address or a network, and nobody else is trusted with it.
func FuzzTrustedProxies(f *testing.F) {
	f.Add("10.1.2.3/8, 192.0.2.1")
	f.Add("::ffff:192.0.2.9,fd00::/8")
	f.Add("proxy.internal")
	f.Add("::ffff:10.0.0.0/104")
	f.Fuzz(func(t *testing.T, list string) {
		c := checker{}
		got := c.proxies(list)
		if list != "" && len(got)+len(c.mistakes) != strings.Count(list, ",")+1 {
			t.Fatalf("%v and %q of %q", got, c.mistakes, list)
		}
		for _, p := range got {
			if !p.IsValid() || p != p.Masked() || p.Addr().Zone() != "" {
				t.Fatalf("%v", p)
			}
			if again := c.proxies(p.String()); len(again) != 1 || again[0] != p {
				t.Fatalf("%v is read as %v", p, again)
			}
		}
	})
}

// No value of a setting ends the program, and none that may be a password is repeated.
func FuzzSettings(f *testing.F) {
	for i, s := range all() {
		f.Add(uint(i), s.Default)
	}
	for i, value := range []string{
		"postgres://u:p@h,h2:1/x?sslmode=verify-full&pool_max_conns=x", "rediss://u:p@[::1]:6379/0?dial_timeout=5",
		"https://auth.example.com/", "[::1]:0", "10/15m", goodSecret,
	} {
		f.Add(uint(i), value)
	}
	f.Fuzz(func(t *testing.T, which uint, value string) {
		name := all()[which%uint(len(all()))].Variable
		// A file may be any of this machine's, and costs of a hash are tried out.
		if strings.HasSuffix(name, "_FILE") || strings.Contains(name, "_ARGON2_") {
			return
		}
		var out strings.Builder
		if cfg, _, err := Parse(nil, []string{name + "=" + value}, &out, &out); err == nil && !cfg.Development && cfg.PublicURL == "" {
			t.Fatalf("%+v", cfg)
		}
		password := strings.Repeat("hunter2x", 5)
		if _, _, err := Parse(nil, []string{name + "=" + password + value}, &out, &out); err != nil &&
			strings.Contains(err.Error(), password) && !strings.Contains(value, ".") {
			t.Fatalf("%v", err)
		}
	})
}
