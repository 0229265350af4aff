package httpserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/reqctx"
	"latchkey/internal/token"
)

// golden are the headers that R-104 asks of every answer, without the CORS ones.
func golden(res *http.Response) string {
	var lines []string
	for _, name := range []string{"Cache-Control", "Content-Security-Policy", "Referrer-Policy", "Strict-Transport-Security", "X-Content-Type-Options"} {
		lines = append(lines, name+": "+strings.Join(res.Header.Values(name), " | "))
	}
	return strings.Join(lines, "\n")
}

func TestSecurityHeaders(t *testing.T) {
	const plain = "Cache-Control: no-store\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'\n" +
		"Referrer-Policy: no-referrer\nStrict-Transport-Security: \nX-Content-Type-Options: nosniff"
	secure := strings.Replace(plain, "Security: ", "Security: max-age=31536000; includeSubDomains", 1)
	for name, mode := range map[string]struct {
		cfg  Config
		want string
	}{"https": {production(), secure}, "loopback http, where HSTS would lock localhost out": {development(), plain}} {
		for reason, test := range map[string]struct {
			method, path, origin string
			do                   func(http.ResponseWriter, *http.Request)
			status               int
		}{
			"success":   {"POST", "/graphql", mode.cfg.PublicURL, nil, 200},
			"refusal":   {"POST", "/graphql", "https://evil.example.org", nil, 403},
			"preflight": {"OPTIONS", "/graphql", mode.cfg.PublicURL, nil, 204},
			"panic":     {"POST", "/graphql", mode.cfg.PublicURL, func(http.ResponseWriter, *http.Request) { panic("x") }, 200},
			"not found": {"GET", "/nothing", "", nil, 404},
			"health":    {"GET", "/healthz", "", nil, 200},
		} {
			t.Run(name+", "+reason, func(t *testing.T) {
				f := newFixture(mode.cfg)
				f.api.do = test.do
				headers := []string{"Access-Control-Request-Method: POST"}
				if test.origin != "" {
					headers = append(headers, "Origin: "+test.origin)
				}
				res := f.send(test.method, test.path, "{}", headers...)
				if res.StatusCode != test.status || golden(res) != mode.want {
					t.Errorf("status %d\n%s\nwant %d\n%s", res.StatusCode, golden(res), test.status, mode.want)
				}
				if len(res.Header.Get("X-Request-Id")) < 20 {
					t.Error("no request id")
				}
			})
		}
	}
}

func TestCookieLines(t *testing.T) {
	set := func(j *cookieJar) { j.Set(token.NewSecret("v.1"), 720*time.Hour) }
	for reason, test := range map[string]struct {
		jar  cookieJar
		act  func(*cookieJar)
		want string
	}{
		"https":                    {cookieJar{secure: true}, set, "__Host-refresh=v.1; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Strict"},
		"http on loopback":         {cookieJar{}, set, "refresh=v.1; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"},
		"pages of another site":    {cookieJar{secure: true, crossSite: true}, set, "__Host-refresh=v.1; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=None; Partitioned"},
		"cleared, https":           {cookieJar{secure: true}, (*cookieJar).Clear, "__Host-refresh=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"},
		"cleared, http":            {cookieJar{}, (*cookieJar).Clear, "refresh=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"},
		"cleared, of another site": {cookieJar{secure: true, crossSite: true}, (*cookieJar).Clear, "__Host-refresh=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=None; Partitioned"},
		"a session about to end is no session cookie": {cookieJar{secure: true}, func(j *cookieJar) { j.Set(token.NewSecret("v"), time.Millisecond) },
			"__Host-refresh=v; Path=/; Max-Age=1; HttpOnly; Secure; SameSite=Strict"},
		"a known device, https": {cookieJar{secure: true}, func(j *cookieJar) { j.Remember(token.NewSecret("m"), 365*24*time.Hour) },
			"__Host-device=m; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Strict"},
		"a known device, http": {cookieJar{}, func(j *cookieJar) { j.Remember(token.NewSecret("m"), time.Hour) },
			"device=m; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict"},
		"set, then cleared: one line": {cookieJar{secure: true}, func(j *cookieJar) { set(j); j.Clear() },
			"__Host-refresh=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"},
		"cleared, then set: one line": {cookieJar{}, func(j *cookieJar) { j.Clear(); set(j) },
			"refresh=v.1; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"},
	} {
		t.Run(reason, func(t *testing.T) {
			test.jar.header = http.Header{"Set-Cookie": {"other=1", "refresher=2"}}
			test.act(&test.jar)
			if got := test.jar.header["Set-Cookie"]; !slices.Equal(got, []string{"other=1", "refresher=2", test.want}) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestCookieIsReadUnderItsOwnNameOnly(t *testing.T) { // what script or http could plant is not read
	for reason, test := range map[string]struct {
		cfg          Config
		cookie, want string
	}{
		"https":                                  {production(), "__Host-refresh=a", "a"},
		"https, without the prefix":              {production(), "refresh=planted", ""},
		"https, both":                            {production(), "refresh=planted; __Host-refresh=a", "a"},
		"http":                                   {development(), "refresh=a", "a"},
		"http, a cookie of the https server":     {development(), "__Host-refresh=a", ""},
		"no cookie":                              {production(), "", ""},
		"another prefix":                         {production(), "__Secure-refresh=planted", ""},
		"other letters, which browsers let pass": {production(), "__host-refresh=planted", ""},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(test.cfg)
			f.send("POST", "/graphql", "{}", "Cookie: "+test.cookie+"; "+strings.ReplaceAll(test.cookie, "refresh", "device"))
			if got := f.api.last.Refresh.Reveal(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if got := f.api.last.Client.Device.Reveal(); got != test.want {
				t.Errorf("device %q, want %q", got, test.want)
			}
		})
	}
}

func TestCrossSiteIsTold(t *testing.T) {
	f := newFixture(production())
	for value, want := range map[string]bool{"cross-site": true, "same-site": false, "same-origin": false, "": false} {
		f.send("POST", "/graphql", "{}", "Origin: "+appOrigin, "Sec-Fetch-Site: "+value)
		if f.api.last.CrossSite != want {
			t.Errorf("%q: %t", value, f.api.last.CrossSite)
		}
	}
}

func TestBodyIsBounded(t *testing.T) {
	f := newFixture(production())
	var read error
	f.api.do = func(_ http.ResponseWriter, r *http.Request) {
		_, read = io.ReadAll(r.Body)
	}
	for size, ok := range map[int]bool{0: true, maxBody: true, maxBody + 1: false, 1 << 20: false} {
		f.send("POST", "/graphql", strings.Repeat(" ", size))
		var tooLarge *http.MaxBytesError
		if (read == nil) != ok || (!ok && !errors.As(read, &tooLarge)) {
			t.Errorf("%d bytes: %v", size, read)
		}
	}
	server := NewServer(f.handler, f.slog())
	if server.ReadHeaderTimeout == 0 || server.ReadTimeout == 0 || server.WriteTimeout == 0 || server.IdleTimeout == 0 || server.MaxHeaderBytes > 64<<10 {
		t.Errorf("%+v", server)
	}
}

func TestPanicTellsNothing(t *testing.T) {
	for reason, value := range map[string]any{"text": canary, "an error": errors.New(canary), "a nil dereference": nil} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(production())
			f.api.do = func(http.ResponseWriter, *http.Request) {
				if value == nil {
					var r *reqctx.Request
					r.ID = ""
				}
				panic(value)
			}
			res := f.send("POST", "/graphql", canary, "Authorization: Bearer "+canary, "Cookie: __Host-refresh="+canary)
			if body := read(t, res); body != "INTERNAL "+res.Header.Get("X-Request-Id") {
				t.Errorf("%q", body)
			}
			log := f.log.String()
			if strings.Contains(log, canary) || !strings.Contains(log, "msg=panic") || !strings.Contains(log, "stack=") || !strings.Contains(log, "status=200") {
				t.Error(log)
			}
			if strings.Count(log, "request_id="+res.Header.Get("X-Request-Id")) != 2 {
				t.Errorf("the panic cannot be found by its id:\n%s", log)
			}
		})
	}
}

func TestPanicAfterTheAnswerBegan(t *testing.T) {
	f := newFixture(production())
	f.api.do = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(201)
		_, _ = io.WriteString(w, "half")
		panic(canary)
	}
	if res := f.send("POST", "/graphql", ""); res.StatusCode != 201 || read(t, res) != "half" {
		t.Error("a second answer was written behind the first")
	}
	f.api.do = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("net/http must learn of an aborted answer: %v", p)
		}
	}()
	f.send("POST", "/graphql", "")
}

func TestRequestLine(t *testing.T) {
	f := newFixture(production())
	f.api.do = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reqctx.From(r.Context()).Note("login", "INVALID_CREDENTIALS")
		reqctx.From(r.Context()).Cookies.Set(token.NewSecret(canary), time.Hour)
		w.WriteHeader(299)
		_, _ = io.WriteString(w, canary)
	}
	res := f.send("POST", "/graphql?query="+canary, canary, "Authorization: Bearer "+canary, "Cookie: __Host-refresh="+canary, "User-Agent: a browser")
	want := fmt.Sprintf(`level=INFO msg=request method=POST path=/graphql status=299 bytes=14 took=… graphql="login INVALID_CREDENTIALS" request_id=%s client=192.0.2.1 user_agent="a browser"`,
		res.Header.Get("X-Request-Id"))
	var got []string
	for field := range strings.SplitSeq(strings.TrimSpace(f.log.String()), " ") {
		if strings.HasPrefix(field, "took=") {
			field = "took=…"
		}
		if !strings.HasPrefix(field, "time=") {
			got = append(got, field)
		}
	}
	if line := strings.Join(got, " "); line != want {
		t.Errorf("%s\nwant\n%s", line, want)
	}
	f.log.Reset()
	f.send("GET", "/%0Alevel=ERROR%20msg=forged", "")
	if strings.Count(f.log.String(), "\n") != 1 || strings.Contains(f.log.String(), "\nlevel=ERROR") {
		t.Errorf("a path forges a line:\n%s", f.log.String())
	}
	f.log.Reset()
	f.send("POST", "/graphql", "", "Origin: https://evil.example.org\nlevel=ERROR")
	if strings.Contains(f.log.String(), "\nlevel=ERROR") {
		t.Errorf("an origin forges a line:\n%s", f.log.String())
	}
}

func TestRequestIDsAreUnique(t *testing.T) {
	f := newFixture(production())
	seen := map[string]bool{}
	for range 100 {
		id := f.send("POST", "/graphql", "", "X-Request-Id: chosen-by-the-client").Header.Get("X-Request-Id")
		if seen[id] || id == "chosen-by-the-client" || id != f.api.last.ID {
			t.Fatal(id)
		}
		seen[id] = true
	}
}

func TestHealthAndReadiness(t *testing.T) {
	f := newFixture(production())
	for _, path := range []string{"/healthz", "/readyz"} {
		if res := f.send("GET", path, ""); res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	f.about.err = errAway
	if res := f.send("GET", "/healthz", ""); res.StatusCode != 200 {
		t.Errorf("a restart does not bring the database back: %d", res.StatusCode)
	}
	res := f.send("GET", "/readyz", "")
	if body := read(t, res); res.StatusCode != 503 || strings.Contains(body, canary) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if strings.Contains(f.log.String(), "msg=request level=INFO") || !strings.Contains(f.log.String(), "not ready") {
		t.Error(f.log.String())
	}
}

func TestWellKnown(t *testing.T) {
	f := newFixture(production())
	res := f.send("GET", "/.well-known/jwks.json", "")
	if read(t, res) != `{"keys":[]}` || res.Header.Get("Content-Type") != "application/jwk-set+json" || res.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("%v", res.Header)
	}
	r := httptest.NewRequest("GET", "/.well-known/openid-configuration", nil)
	r.Host = "evil.example.org" // links come from the configuration
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	want := `{"id_token_signing_alg_values_supported":["ES256"],"issuer":"https://auth.example.com",` +
		`"jwks_uri":"https://auth.example.com/.well-known/jwks.json","latchkey_revocations_uri":"https://auth.example.com/revocations",` +
		`"response_types_supported":[],"subject_types_supported":["public"]}`
	if got := strings.TrimSpace(w.Body.String()); got != want {
		t.Errorf("%s", got)
	}
	for _, method := range []string{"POST", "DELETE"} {
		if res := f.send(method, "/.well-known/jwks.json", ""); res.StatusCode != 405 {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
}

func TestRevocations(t *testing.T) {
	f := newFixture(production())
	f.about.feed = token.Feed{JWS: "h.c.s", Tag: "t-1"}
	res := f.send("GET", "/revocations", "")
	if body := read(t, res); res.StatusCode != 200 || body != "h.c.s" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for name, want := range map[string]string{"Content-Type": "application/jwt", "Cache-Control": "no-cache", "Etag": `W/"t-1"`} {
		if got := res.Header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for have, status := range map[string]int{
		`W/"t-1"`: 304, `"t-1"`: 304, `"t-0", W/"t-1"`: 304, `*`: 304, `W/"t-0"`: 200, `t-1`: 200, ``: 200,
	} {
		res := f.send("GET", "/revocations", "", "If-None-Match: "+have)
		if body := read(t, res); res.StatusCode != status || (status == 304) != (body == "") || res.Header.Get("Etag") != `W/"t-1"` {
			t.Errorf("for %s: %d %q", have, res.StatusCode, body)
		}
	}
	if res := f.send("POST", "/revocations", ""); res.StatusCode != 405 {
		t.Errorf("POST: %d", res.StatusCode)
	}
	f.about.err = errAway
	res = f.send("GET", "/revocations", "", `If-None-Match: W/"t-1"`)
	if body := read(t, res); res.StatusCode != 503 || strings.Contains(body, canary) || res.Header.Get("Etag") != "" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("unsure: %d %q, %v", res.StatusCode, body, res.Header)
	}
}

func TestPagesAreThereOnlyIfGiven(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = io.WriteString(w, r.URL.Path)
	}
	cfg := production()
	cfg.Pages = map[string]http.Handler{"/{$}": http.HandlerFunc(page), "/ide/": http.HandlerFunc(page)}
	for path, status := range map[string]int{"/": 200, "/ide/ide.js": 200, "/other": 404, "/healthz": 200} {
		res := newFixture(cfg).send("GET", path, "")
		if body := read(t, res); res.StatusCode != status || (body == path) != (path == "/" || path == "/ide/ide.js") {
			t.Errorf("given, %s: %d %q", path, res.StatusCode, body)
		}
		if path == "/" && (res.Header.Get("Cache-Control") != "no-cache" || res.Header.Get("Strict-Transport-Security") == "") {
			t.Errorf("a page's own headers come on top of everybody's: %v", res.Header)
		}
		if res := newFixture(production()).send("GET", path, ""); res.StatusCode == 200 != (path == "/healthz") {
			t.Errorf("not given, %s: %d", path, res.StatusCode)
		}
	}
}
