package config

import (
	"slices"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	for reason, test := range map[string]struct {
		environ string
		url     string // under which the server is reached
		want    string
	}{
		"development: the usual ports, by both names of this machine": {"", "http://localhost:8080",
			"http://127.0.0.1:3000 http://127.0.0.1:5173 http://127.0.0.1:8080 http://localhost:3000 http://localhost:5173 http://localhost:8080"},
		"development: a list replaces the usual ports": {"LATCHKEY_ALLOWED_ORIGINS=http://localhost:4000", "http://localhost:8080",
			"http://127.0.0.1:4000 http://127.0.0.1:8080 http://localhost:4000 http://localhost:8080"},
		"development: the other name is added for the other name, too": {"LATCHKEY_ALLOWED_ORIGINS=http://127.0.0.1:4000", "http://127.0.0.1:8080",
			"http://127.0.0.1:4000 http://127.0.0.1:8080 http://localhost:4000 http://localhost:8080"},
		"development: IPv6 has one name": {"LATCHKEY_ALLOWED_ORIGINS=http://[::1]:4000", "http://[::1]:8080",
			"http://[::1]:4000 http://[::1]:8080"},
		"production: our own alone": {production, "https://auth.example.com", "https://auth.example.com"},
		"production: and the listed ones": {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://app.example.com, https://www.example.com", "https://auth.example.com",
			"https://app.example.com https://auth.example.com https://www.example.com"},
		"production: a page on the developer's machine has the one name that was listed": {production + "\nLATCHKEY_ALLOWED_ORIGINS=http://localhost:5173", "https://auth.example.com",
			"http://localhost:5173 https://auth.example.com"},
		"browsers leave default ports out": {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://app.example.com:443,http://localhost:80", "https://auth.example.com", "http://localhost https://app.example.com https://auth.example.com"},
		"another port stays":               {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://app.example.com:80,https://b.example.com:8443", "https://auth.example.com", "https://app.example.com:80 https://auth.example.com https://b.example.com:8443"},
		"browsers write lower case":        {production + "\nLATCHKEY_ALLOWED_ORIGINS=HTTPS://App.Example.COM", "https://auth.example.com", "https://app.example.com https://auth.example.com"},
		"in any order": {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://z.example.com,https://y.example.com,https://b.example.com", "https://auth.example.com",
			"https://auth.example.com https://b.example.com https://y.example.com https://z.example.com"},
		"one origin is listed once":          {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://auth.example.com,https://auth.example.com:443", "https://auth.example.com", "https://auth.example.com"},
		"a default port of the other scheme": {production + "\nLATCHKEY_ALLOWED_ORIGINS=http://localhost:443", "https://auth.example.com", "http://localhost:443 https://auth.example.com"},
	} {
		t.Run(reason, func(t *testing.T) {
			cfg := mustParse(t, nil, strings.Split(test.environ, "\n")...)
			before := slices.Clone(cfg.AllowedOrigins)
			if got := cfg.Origins(test.url); strings.Join(got, " ") != test.want {
				t.Errorf("%v\nwant %s", got, test.want)
			}
			if !slices.Equal(cfg.AllowedOrigins, before) {
				t.Error("asking changes the configuration")
			}
		})
	}
}

func TestPublicURL(t *testing.T) {
	for reason, test := range map[string]struct {
		url, want   string
		development bool
	}{
		"https is production":                 {"https://auth.example.com", "https://auth.example.com", false},
		"https on loopback is as well":        {"https://localhost:8443", "https://localhost:8443", false},
		"http on loopback is development":     {"http://localhost:8080", "http://localhost:8080", true},
		"by address":                          {"http://127.0.0.1:9", "http://127.0.0.1:9", true},
		"by another address of this machine":  {"http://127.1.2.3:9", "http://127.1.2.3:9", true},
		"by IPv6":                             {"http://[::1]:9", "http://[::1]:9", true},
		"a slash behind is dropped":           {"https://auth.example.com/", "https://auth.example.com", false},
		"a default port is dropped":           {"https://auth.example.com:443", "https://auth.example.com", false},
		"browsers compare lower-case letters": {"https://AUTH.example.com", "https://auth.example.com", false},
	} {
		t.Run(reason, func(t *testing.T) {
			if cfg := mustParse(t, nil, "LATCHKEY_PUBLIC_URL="+test.url); cfg.PublicURL != test.want || cfg.Development != test.development {
				t.Errorf("%q, development %t", cfg.PublicURL, cfg.Development)
			}
		})
	}
}

func TestDatabases(t *testing.T) {
	for reason, environ := range map[string]string{
		"a remote one that proves its name":       production + "\nLATCHKEY_SECRET=" + goodSecret + "\nLATCHKEY_DATABASE_URL=postgres://u:p@db.example.com/x?sslmode=verify-full",
		"two of them":                             production + "\nLATCHKEY_SECRET=" + goodSecret + "\nLATCHKEY_DATABASE_URL=postgres://u:p@a.example.com,b.example.com/x?sslmode=verify-full",
		"one on this machine":                     production + "\nLATCHKEY_SECRET=" + goodSecret + "\nLATCHKEY_DATABASE_URL=postgres://u:p@localhost/x",
		"one on this machine, by address":         production + "\nLATCHKEY_SECRET=" + goodSecret + "\nLATCHKEY_DATABASE_URL=postgresql://u:p@127.0.0.1/x?sslmode=disable",
		"one behind a socket":                     production + "\nLATCHKEY_SECRET=" + goodSecret + "\nLATCHKEY_DATABASE_URL=postgres:///x?host=/run/postgresql",
		"any in development":                      "LATCHKEY_DATABASE_URL=postgres://u:p@db.example.com/x?sslmode=disable",
		"none is SQLite, which needs no secret":   production,
		"Redis":                                   "LATCHKEY_REDIS_URL=redis://u:p@h:6379/0",
		"Redis over TLS":                          "LATCHKEY_REDIS_URL=rediss://u:p@h:6379/0",
		"cross-site cookies over https, a choice": production + "\nLATCHKEY_COOKIE_SAME_SITE=none",
	} {
		t.Run(reason, func(t *testing.T) {
			cfg := mustParse(t, nil, strings.Split(environ, "\n")...)
			if warned := strings.Contains(strings.Join(cfg.Warnings, ""), "SameSite=None"); warned != cfg.SameSiteNone {
				t.Errorf("warned %t", warned)
			}
		})
	}
}

func TestIntrospectionIsAChoice(t *testing.T) {
	for reason, test := range map[string]struct {
		environ            string
		ide, introspection bool
	}{
		"development":                          {"", true, true},
		"production":                           {production, false, false},
		"production, both on":                  {production + "\nLATCHKEY_IDE=on", true, true},
		"production, introspection alone":      {production + "\nLATCHKEY_INTROSPECTION=ON", false, true},
		"production, an IDE without the docs":  {production + "\nLATCHKEY_IDE=on\nLATCHKEY_INTROSPECTION=off", true, false},
		"development, both off":                {"LATCHKEY_IDE=off\nLATCHKEY_INTROSPECTION=off", false, false},
		"development, the page off":            {"LATCHKEY_IDE=off", false, true},
		"production that says auto, by itself": {production + "\nLATCHKEY_IDE=auto\nLATCHKEY_INTROSPECTION=auto", false, false},
	} {
		t.Run(reason, func(t *testing.T) {
			cfg := mustParse(t, nil, strings.Split(test.environ, "\n")...)
			if cfg.IDE != test.ide || cfg.Introspection != test.introspection {
				t.Errorf("IDE %t, introspection %t", cfg.IDE, cfg.Introspection)
			}
			public := !cfg.Development && (test.ide || test.introspection)
			if warned := strings.Contains(strings.Join(cfg.Warnings, ""), "schema is public"); warned != public {
				t.Errorf("warned %t", warned)
			}
		})
	}
}
