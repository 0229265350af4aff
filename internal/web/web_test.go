package web

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func send(method, path string, headers ...string) *http.Response {
	return sendTo(IDE(), method, path, headers...)
}

func sendTo(h http.Handler, method, path string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, r io.Reader) string {
	t.Helper()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestIDE(t *testing.T) {
	for reason, test := range map[string]struct {
		method, path string
		status       int
		headers      map[string]string
	}{
		"the page is never stored, for it belongs to this version of the server": {
			"GET", "/", 200, map[string]string{
				"Content-Type":  "text/html; charset=utf-8",
				"Cache-Control": "no-store",
				"ETag":          "",
			}},
		"the script is asked for anew, and answered by its hash": {
			"GET", "/ide/ide.js", 200, map[string]string{
				"Content-Type":  "text/javascript; charset=utf-8",
				"Cache-Control": "no-cache",
				"Vary":          "Accept-Encoding",
			}},
		"the style is CSS":               {"GET", "/ide/ide.css", 200, map[string]string{"Content-Type": "text/css; charset=utf-8"}},
		"the icon is an image":           {"GET", "/ide/favicon.svg", 200, map[string]string{"Content-Type": "image/svg+xml; charset=utf-8"}},
		"the licences travel along":      {"GET", "/ide/LICENSES.txt", 200, map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
		"HEAD is GET without a body":     {"HEAD", "/", 200, map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		"a form cannot post here":        {"POST", "/", 405, map[string]string{"Allow": "GET, HEAD"}},
		"an unknown asset":               {"GET", "/ide/other.js", 404, nil},
		"the page has one address":       {"GET", "/ide/index.html", 404, nil},
		"the directory is not listed":    {"GET", "/ide/", 404, nil},
		"nothing outside the build":      {"GET", "/ide/../web.go", 404, nil},
		"other pages belong to others":   {"GET", "/account", 404, nil},
		"the API is not this package's":  {"GET", "/graphql", 404, nil},
		"the sources of the page remain": {"GET", "/ide/main.jsx", 404, nil},
	} {
		t.Run(reason, func(t *testing.T) {
			res := send(test.method, test.path)
			if res.StatusCode != test.status {
				t.Errorf("status %d, want %d", res.StatusCode, test.status)
			}
			checkHeaders(t, res, test.headers)
			checkHeaders(t, res, map[string]string{
				"Content-Security-Policy":    idePolicy,
				"Cross-Origin-Opener-Policy": "same-origin",
				"Referrer-Policy":            "no-referrer",
				"X-Content-Type-Options":     "nosniff",
			})
			if body := read(t, res.Body); test.method == "HEAD" && body != "" {
				t.Errorf("HEAD answered a body of %d bytes", len(body))
			}
		})
	}
}

func TestUnchangedAssetIsNotSentAgain(t *testing.T) {
	for reason, encoding := range map[string]string{"plain": "", "compressed": "gzip"} {
		t.Run(reason, func(t *testing.T) {
			first := send("GET", "/ide/ide.js", "Accept-Encoding", encoding)
			again := send("GET", "/ide/ide.js", "Accept-Encoding", encoding, "If-None-Match", first.Header.Get("ETag"))
			if again.StatusCode != http.StatusNotModified || read(t, again.Body) != "" {
				t.Errorf("status %d, want an empty 304", again.StatusCode)
			}
			other := send("GET", "/ide/ide.js", "Accept-Encoding", encoding, "If-None-Match", `"other"`)
			if other.StatusCode != http.StatusOK {
				t.Errorf("status %d for another version, want 200", other.StatusCode)
			}
		})
	}
}

func TestCompression(t *testing.T) {
	plain := send("GET", "/ide/ide.js")
	want := read(t, plain.Body)
	for reason, test := range map[string]struct {
		accept     string
		compressed bool
	}{
		"what browsers send":       {"gzip, deflate, br, zstd", true},
		"a client without gzip":    {"br", false},
		"a client that refuses it": {"br, gzip; q=0", false},
	} {
		t.Run(reason, func(t *testing.T) {
			res := send("GET", "/ide/ide.js", "Accept-Encoding", test.accept)
			if got := res.Header.Get("Content-Encoding") == "gzip"; got != test.compressed {
				t.Fatalf("compressed: %t, want %t", got, test.compressed)
			}
			var body io.Reader = res.Body
			if test.compressed {
				if res.Header.Get("ETag") == plain.Header.Get("ETag") {
					t.Error("two encodings share one ETag")
				}
				var err error
				if body, err = gzip.NewReader(body); err != nil {
					t.Fatal(err)
				}
			}
			if read(t, body) != want {
				t.Error("the content differs from the plain one")
			}
		})
	}
}

func TestPagesObeyTheirPolicies(t *testing.T) {
	for _, page := range []struct {
		path, assets string
		handler      http.Handler
	}{
		{"/", "/ide/", IDE()},
		{"/account", "/account/", Account(AccountConfig{})},
	} {
		html := read(t, sendTo(page.handler, "GET", page.path).Body)
		for reason, forbidden := range map[string]string{
			"an inline script":         `<script(?:\s[^>]*)?>[^<]`,
			"an inline style":          `<style|\sstyle=`,
			"an inline event handler":  `\son\w+=`,
			"a reference to elsewhere": `//`,
		} {
			if found := regexp.MustCompile(forbidden).FindString(html); found != "" {
				t.Errorf("%s: %s: %q", page.path, reason, found)
			}
		}
		found := regexp.MustCompile(`(?:src|href)="([^"#]*)"`).FindAllStringSubmatch(html, -1)
		if len(found) == 0 {
			t.Errorf("%s: a page without assets: %s", page.path, html)
		}
		for _, match := range found {
			if res := sendTo(page.handler, "GET", match[1]); res.StatusCode != http.StatusOK || !strings.HasPrefix(match[1], page.assets) {
				t.Errorf("%s: status %d", match[1], res.StatusCode)
			}
		}
	}
}

func TestEveryFileHasAType(t *testing.T) {
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && types[path.Ext(name)] == "" {
			t.Errorf("%s: browsers refuse what has no content type", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestClient(t *testing.T) {
	for reason, test := range map[string]struct {
		method, path string
		status       int
		headers      map[string]string
	}{
		"the module names its types": {"GET", "/auth-client.js", 200, map[string]string{
			"Content-Type":       "text/javascript; charset=utf-8",
			"X-TypeScript-Types": "/auth-client.d.ts",
			"Cache-Control":      "no-cache",
			"Vary":               "Accept-Encoding",
		}},
		"the types are text": {"GET", "/auth-client.d.ts", 200, map[string]string{
			"Content-Type":       "text/plain; charset=utf-8",
			"X-TypeScript-Types": "",
			"Cache-Control":      "no-cache",
		}},
		"HEAD is GET without a body": {"HEAD", "/auth-client.js", 200, map[string]string{"X-TypeScript-Types": "/auth-client.d.ts"}},
		"nobody can post here":       {"POST", "/auth-client.js", 405, map[string]string{"Allow": "GET, HEAD"}},
		"an unknown file":            {"GET", "/auth-client.mjs", 404, nil},
		"nothing outside the build":  {"GET", "/../web.go", 404, nil},
	} {
		t.Run(reason, func(t *testing.T) {
			res := sendTo(Client(), test.method, test.path, "Origin", "https://anywhere.example.org")
			if res.StatusCode != test.status {
				t.Errorf("status %d, want %d", res.StatusCode, test.status)
			}
			checkHeaders(t, res, test.headers)
			checkHeaders(t, res, map[string]string{
				"Access-Control-Allow-Origin":      "*",
				"Access-Control-Allow-Credentials": "",
				"Cross-Origin-Resource-Policy":     "cross-origin",
				"X-Content-Type-Options":           "nosniff",
			})
			if tagged := res.Header.Get("ETag") != ""; tagged != (test.status == 200) {
				t.Errorf("ETag %q", res.Header.Get("ETag"))
			}
			if body := read(t, res.Body); test.method == "HEAD" && body != "" {
				t.Errorf("HEAD answered a body of %d bytes", len(body))
			}
		})
	}
	first := sendTo(Client(), "GET", "/auth-client.js", "Accept-Encoding", "gzip")
	again := sendTo(Client(), "GET", "/auth-client.js", "Accept-Encoding", "gzip", "If-None-Match", first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || again.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("unchanged: status %d, %v", again.StatusCode, again.Header)
	}
}

func checkHeaders(t *testing.T, res *http.Response, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := res.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}
