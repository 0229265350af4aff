package e2e

import (
	"net/http"
	"slices"
	"testing"
)

// each credential opens what it is made for and nothing else.
func TestCredentialsDoNotCross(t *testing.T) {
	t.Parallel()
	p := serveBuilt(t, plainBinary, newSite(t, "sqlite").env...)
	kinds := map[string]func(body, cookie *client, refresh string) string{
		"access token":  func(body, _ *client, _ string) string { return body.access },
		"refresh token": func(_, _ *client, refresh string) string { return refresh },
		"cookie":        func(_, cookie *client, _ string) string { return cookie.cookies["refresh"] },
		"device mark":   func(_, cookie *client, _ string) string { return cookie.cookies["device"] },
	}
	places := map[string]struct {
		takes []string
		try   func(value string) []string
	}{
		"Bearer": {[]string{"access token"}, func(value string) []string {
			_, codes := ask(t, &client{access: value}, p, meField, nil)
			return codes
		}},
		"refresh's argument": {[]string{"refresh token", "cookie"}, func(value string) []string {
			_, codes := ask(t, &client{}, p, refreshBody, map[string]any{"t": value})
			return codes
		}},
		"the refresh cookie": {[]string{"refresh token", "cookie"}, func(value string) []string {
			_, codes := ask(t, &client{cookies: map[string]string{"refresh": value}}, p, refreshField, nil)
			return codes
		}},
		"the password": {nil, func(value string) []string {
			_, codes := ask(t, &client{}, p, loginBody, map[string]any{"e": "ada@example.com", "p": value})
			return codes
		}},
		"a query's parameter": {nil, func(value string) []string {
			a, err := (&client{}).send(http.MethodGet, p.url+"/graphql?query=%7Bme%7Bemail%7D%7D&access_token="+value, http.Header{}, "")
			if err != nil {
				t.Error(err)
			}
			return a.codes()
		}},
	}
	body, cookie := &client{}, &client{cookies: map[string]string{}}
	refresh, codes := ask(t, body, p, signUpBody, map[string]any{"e": "ada@example.com"})
	if len(codes) > 0 {
		t.Fatal(codes)
	}
	if _, codes := ask(t, cookie, p, loginCookie, map[string]any{"e": "ada@example.com", "p": "paper lantern quay"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	for kind, value := range kinds {
		for place, try := range places {
			if codes := try.try(value(body, cookie, refresh)); (len(codes) == 0) != slices.Contains(try.takes, kind) {
				t.Errorf("%s as %s: %v", kind, place, codes)
			}
		}
	}
}
