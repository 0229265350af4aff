package httpserver

import (
	"net/http"
	"testing"
	"time"

	"latchkey/internal/ratelimit"
)

// bucket B1: a session has a budget of its own, and who has none shares that of the
// address; nothing is executed beyond it.
func TestRequestsAreLimited(t *testing.T) {
	const limit = 3
	cfg := production()
	cfg.Limits = ratelimit.Limits{ratelimit.Requests: {Limit: limit, Period: time.Hour}}
	cfg.TrustedProxies = prefixes("192.0.2.0/24") // httptest's peer is 192.0.2.1
	from := func(address string) string { return "X-Forwarded-For: " + address }
	f := newFixture(cfg)
	spend := func(reason string, want int, headers ...string) {
		t.Helper()
		before, passed := f.api.calls, 0
		for range limit + 2 {
			switch res := f.send("POST", "/graphql", "{}", headers...); res.StatusCode {
			case http.StatusOK:
				passed++
			case http.StatusTooManyRequests:
				if got := read(t, res); got != "limited: 1h0m0s" {
					t.Errorf("%s: %s", reason, got)
				}
			default:
				t.Fatalf("%s: status %d", reason, res.StatusCode)
			}
		}
		if passed != want || f.api.calls-before != want {
			t.Errorf("%s: %d passed, %d executed, want %d", reason, passed, f.api.calls-before, want)
		}
	}
	spend("an address", limit, from("2001:db8::1"))
	spend("its neighbour in the /64", 0, from("2001:db8::2"))
	spend("another address", limit, from("198.51.100.7"))
	spend("an address that cannot be told", limit, from("garbage, 2001:db8::3x"))
	spend("a forged hop before it", 0, from("203.0.113.200, 2001:db8::1"))
	spend("a session at an address that is used up", limit, from("2001:db8::1"), "Authorization: Bearer good")
	spend("the same session elsewhere", 0, from("203.0.113.1"), "Authorization: Bearer good")
	spend("a refresh cookie", limit, from("2001:db8::1"), "Cookie: __Host-refresh=genuine")
	spend("a forged refresh cookie", 0, from("2001:db8::1"), "Cookie: __Host-refresh=x")
	spend("a token that is no good", 0, from("2001:db8::1"), "Authorization: Bearer bad")
}

// Pages ask before they ask: neither that, nor what is not the API, costs anything.
func TestWhatIsNotLimited(t *testing.T) {
	cfg := production()
	cfg.Limits = ratelimit.Limits{ratelimit.Requests: {Limit: 1, Period: time.Hour}}
	f := newFixture(cfg)
	for range 5 {
		f.send("OPTIONS", "/graphql", "", "Origin: "+appOrigin, "Access-Control-Request-Method: POST")
		for _, path := range []string{"/healthz", "/readyz", "/.well-known/jwks.json"} {
			if res := f.send("GET", path, ""); res.StatusCode != http.StatusOK {
				t.Errorf("%s: %d", path, res.StatusCode)
			}
		}
		f.send("POST", "/graphql", "{}", "Origin: https://evil.example.com") // refused by then
	}
	if res := f.send("POST", "/graphql", "{}"); res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}
