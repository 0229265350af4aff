package httpserver

import (
	"maps"
	"net/http"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	for reason, test := range map[string]struct {
		headers []string
		post    int
		get     int // safe by its method: it runs queries only and reads no cookie
	}{
		"a program sends neither header":             {nil, 200, 200},
		"a page on the list":                         {[]string{"Origin: " + appOrigin, "Sec-Fetch-Site: same-site"}, 200, 200},
		"a page on the list in an old browser":       {[]string{"Origin: " + appOrigin}, 200, 200},
		"a page on the list of another site":         {[]string{"Origin: " + appOrigin, "Sec-Fetch-Site: cross-site"}, 200, 200},
		"our own page":                               {[]string{"Origin: " + publicURL, "Sec-Fetch-Site: same-origin"}, 200, 200},
		"our own page, GET sends no Origin":          {[]string{"Sec-Fetch-Site: same-origin"}, 200, 200},
		"typed into the address bar":                 {[]string{"Sec-Fetch-Site: none"}, 200, 200},
		"cross-site without an Origin":               {[]string{"Sec-Fetch-Site: cross-site"}, 403, 200},
		"same-site without an Origin":                {[]string{"Sec-Fetch-Site: same-site"}, 403, 200},
		"a stranger":                                 {[]string{"Origin: https://evil.example.org"}, 403, 403},
		"a stranger who says same-origin":            {[]string{"Origin: https://evil.example.org", "Sec-Fetch-Site: same-origin"}, 403, 403},
		"the host we were called by is no proof":     {[]string{"Origin: http://example.com"}, 403, 403},
		"a sibling of the same site":                 {[]string{"Origin: https://evil.example.com", "Sec-Fetch-Site: same-site"}, 403, 403},
		"the suffix trick":                           {[]string{"Origin: https://app.example.com.evil.io"}, 403, 403},
		"the prefix trick":                           {[]string{"Origin: https://evil-app.example.com"}, 403, 403},
		"the trick with a user name":                 {[]string{"Origin: https://app.example.com@evil.io"}, 403, 403},
		"a subdomain":                                {[]string{"Origin: https://x.app.example.com"}, 403, 403},
		"the parent domain":                          {[]string{"Origin: https://example.com"}, 403, 403},
		"another scheme":                             {[]string{"Origin: http://app.example.com"}, 403, 403},
		"another port":                               {[]string{"Origin: https://app.example.com:8443"}, 403, 403},
		"a path behind":                              {[]string{"Origin: https://app.example.com/"}, 403, 403},
		"other letters: browsers write lower case":   {[]string{"Origin: https://APP.example.com"}, 403, 403},
		"a sandboxed frame":                          {[]string{"Origin: null"}, 403, 403},
		"a sandboxed frame of our own":               {[]string{"Origin: null", "Sec-Fetch-Site: same-origin"}, 403, 403},
		"an empty Origin":                            {[]string{"Origin: "}, 403, 403},
		"two origins, both good":                     {[]string{"Origin: " + appOrigin, "Origin: " + publicURL}, 403, 403},
		"two origins in one header":                  {[]string{"Origin: " + appOrigin + " " + publicURL}, 403, 403},
		"a star":                                     {[]string{"Origin: *"}, 403, 403},
		"a Referer instead of an Origin says naught": {[]string{"Referer: https://evil.example.org/"}, 200, 200},
	} {
		t.Run(reason, func(t *testing.T) {
			for method, want := range map[string]int{"POST": test.post, "GET": test.get} {
				f := newFixture(production())
				res := f.send(method, "/graphql", `{"query":"{me{id}}"}`, test.headers...)
				if res.StatusCode != want || (f.api.calls == 1) != (want == 200) {
					t.Errorf("%s: status %d, want %d; the API was called %d times", method, res.StatusCode, want, f.api.calls)
				}
				if want == 403 && !strings.Contains(read(t, res), "LATCHKEY_ALLOWED_ORIGINS") {
					t.Error("nobody learns what to do")
				}
			}
		})
	}
}

func TestWrongPublicURLIsNamed(t *testing.T) {
	const named = "The server has another address than LATCHKEY_PUBLIC_URL says."
	for origin, want := range map[string]bool{"http://example.com": true, "https://evil.example.org": false} { // httptest calls example.com
		f := newFixture(production())
		res := f.send("POST", "/graphql", `{"query":"{me{id}}"}`, "Origin: "+origin)
		if res.StatusCode != http.StatusForbidden || strings.Contains(read(t, res), named) != want {
			t.Errorf("%s: status %d", origin, res.StatusCode)
		}
	}
}

// corsHeaders are the ones by which a browser decides.
func corsHeaders(res *http.Response) map[string]string {
	out := map[string]string{}
	for name, values := range res.Header {
		if rest, ok := strings.CutPrefix(name, "Access-Control-"); ok {
			out[rest] = strings.Join(values, " | ")
		}
	}
	return out
}

func TestCORS(t *testing.T) {
	preflight := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"}
	allowed := map[string]string{
		"Allow-Origin": appOrigin, "Allow-Credentials": "true", "Allow-Methods": "POST",
		"Allow-Headers": "authorization,content-type", "Max-Age": "7200",
	}
	actual := map[string]string{"Allow-Origin": appOrigin, "Allow-Credentials": "true", "Expose-Headers": "Retry-After"}
	none := map[string]string{}
	empty := production()
	empty.AllowedOrigins = nil
	for reason, test := range map[string]struct {
		cfg     Config
		method  string
		headers []string
		want    map[string]string
	}{
		"a page on the list asks first":               {production(), "OPTIONS", append(preflight, "Origin: "+appOrigin), allowed},
		"a stranger asks":                             {production(), "OPTIONS", append(preflight, "Origin: https://evil.example.org"), none},
		"the suffix trick":                            {production(), "OPTIONS", append(preflight, "Origin: https://app.example.com.evil.io"), none},
		"a sandboxed frame":                           {production(), "OPTIONS", append(preflight, "Origin: null"), none},
		"other letters are another origin":            {production(), "OPTIONS", append(preflight, "Origin: https://APP.example.com"), none},
		"a method that is not served":                 {production(), "OPTIONS", []string{"Origin: " + appOrigin, "Access-Control-Request-Method: DELETE"}, none},
		"a header that nobody needs":                  {production(), "OPTIONS", []string{"Origin: " + appOrigin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-evil"}, none},
		"an empty list means nobody, not everybody":   {empty, "OPTIONS", append(preflight, "Origin: https://evil.example.org"), none},
		"a page on the list calls":                    {production(), "POST", []string{"Origin: " + appOrigin}, actual},
		"a page on the list reads":                    {production(), "GET", []string{"Origin: " + appOrigin}, actual},
		"a stranger calls":                            {production(), "POST", []string{"Origin: https://evil.example.org"}, none},
		"a program calls":                             {production(), "POST", nil, none},
		"an empty list means nobody who calls either": {empty, "POST", []string{"Origin: https://evil.example.org"}, none},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(test.cfg)
			res := f.send(test.method, "/graphql", "{}", test.headers...)
			if got := corsHeaders(res); !maps.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			if !strings.Contains(strings.Join(res.Header.Values("Vary"), ","), "Origin") {
				t.Errorf("Vary: %v: a cache would hand one origin's answer to another", res.Header.Values("Vary"))
			}
			if test.method == "OPTIONS" && (f.api.calls != 0 || res.StatusCode != 204) {
				t.Errorf("a preflight reached the API %d times, status %d", f.api.calls, res.StatusCode)
			}
		})
	}
}

func TestPublicKeysAreNotForPagesToSendCookiesTo(t *testing.T) {
	f := newFixture(production())
	for _, path := range []string{"/healthz", "/readyz", "/.well-known/jwks.json", "/.well-known/openid-configuration", "/nothing"} {
		if got := corsHeaders(f.send("GET", path, "", "Origin: https://evil.example.org")); len(got) != 0 {
			t.Errorf("%s: %v", path, got)
		}
	}
}
