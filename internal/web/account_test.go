package web

import (
	"context"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// origins are on the list of these tests.
func origins() []string {
	return []string{"https://app.example.com", "https://auth.example.com", "https://other.example.com:8443", "http://localhost:5173", "http://[::1]:5173"}
}

func TestAccount(t *testing.T) {
	for reason, test := range map[string]struct {
		method, path string
		status       int
		headers      map[string]string
	}{
		"the page is never stored":       {"GET", "/account", 200, map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "ETag": ""}},
		"nor with a way back":            {"GET", "/account?return_to=https://app.example.com/", 200, map[string]string{"Cache-Control": "no-store", "ETag": ""}},
		"the script is asked for anew":   {"GET", "/account/account.js", 200, map[string]string{"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}},
		"the style is CSS":               {"GET", "/account/account.css", 200, map[string]string{"Content-Type": "text/css; charset=utf-8"}},
		"the icon is an image":           {"GET", "/account/icon.svg", 200, map[string]string{"Content-Type": "image/svg+xml; charset=utf-8"}},
		"HEAD is GET without a body":     {"HEAD", "/account", 200, map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		"a form cannot post here":        {"POST", "/account", 405, map[string]string{"Allow": "GET, HEAD"}},
		"the page has one address":       {"GET", "/account/index.html", 404, nil},
		"the directory is not listed":    {"GET", "/account/", 404, nil},
		"nothing outside the build":      {"GET", "/account/../web.go", 404, nil},
		"an unknown asset":               {"GET", "/account/other.js", 404, nil},
		"other pages belong to others":   {"GET", "/", 404, nil},
		"an asset has nobody to go back": {"GET", "/account/account.js?return_to=https://evil.com", 200, map[string]string{"Cache-Control": "no-cache"}},
	} {
		t.Run(reason, func(t *testing.T) {
			var refused []string
			account := Account(AccountConfig{Origins: origins(), Refused: func(_ context.Context, origin string) { refused = append(refused, origin) }})
			res := sendTo(account, test.method, test.path)
			if res.StatusCode != test.status || refused != nil {
				t.Errorf("status %d, want %d; refused %q", res.StatusCode, test.status, refused)
			}
			checkHeaders(t, res, test.headers)
			checkHeaders(t, res, map[string]string{
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
					"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
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

func TestAccountPageHasItsPlace(t *testing.T) {
	content, err := files.ReadFile("account/dist/index.html")
	if err != nil || strings.Count(string(content), returnPlace) != 1 || strings.Contains(string(content), `name="return-`) {
		t.Errorf("the page cannot be told where to go back to: it needs one %s", returnPlace)
	}
	gzipped := func(path string) bool {
		res := sendTo(Account(AccountConfig{Origins: origins()}), "GET", path, "Accept-Encoding", "gzip")
		return res.Header.Get("Content-Encoding") == "gzip"
	}
	if !gzipped("/account") || gzipped("/account?return_to=https://app.example.com/") {
		t.Error("what is compressed is not what was asked for")
	}
}

// returnTest is what somebody may write into return_to, with what becomes of it: a target, or
// else what is refused.
type returnTest struct{ text, target, refused string }

func returnTests() map[string]returnTest {
	out := malformedReturns()
	maps.Copy(out, plainReturns())
	return out
}

func plainReturns() map[string]returnTest {
	long := "https://app.example.com/?" + strings.Repeat("a", maxReturn)
	return map[string]returnTest{
		"a page":                             {"https://app.example.com/notes?id=1&x=%20y#top", "https://app.example.com/notes?id=1&x=%20y#top", ""},
		"an origin alone":                    {"https://app.example.com", "https://app.example.com", ""},
		"a query without a path":             {"https://app.example.com?q=@evil.com", "https://app.example.com?q=@evil.com", ""},
		"another port that is listed":        {"https://other.example.com:8443/", "https://other.example.com:8443/", ""},
		"plain http that is listed":          {"http://localhost:5173/", "http://localhost:5173/", ""},
		"an address that is listed":          {"http://[::1]:5173/", "http://[::1]:5173/", ""},
		"our own page":                       {"https://auth.example.com/account", "https://auth.example.com/account", ""},
		"two slashes in the path":            {"https://app.example.com//evil.com", "https://app.example.com//evil.com", ""},
		"dots in the path":                   {"https://app.example.com/..//evil.com", "https://app.example.com/..//evil.com", ""},
		"an escaped slash":                   {"https://app.example.com/%2f%2fevil.com", "https://app.example.com/%2f%2fevil.com", ""},
		"an escaped line feed":               {"https://app.example.com/%0d%0aX:y", "https://app.example.com/%0d%0aX:y", ""},
		"markup is no markup":                {`https://app.example.com/"><script>'&`, "https://app.example.com/%22%3E%3Cscript%3E%27&", ""},
		"markup in the query":                {`https://app.example.com/?"><script>'&amp;`, `https://app.example.com/?"><script>'&amp;`, ""},
		"the scheme in other letters":        {"HTTPS://app.example.com/", "https://app.example.com/", ""},
		"as long as it may be":               {long[:maxReturn], long[:maxReturn], ""},
		"too long":                           {long[:maxReturn+1], "", malformed},
		"a stranger":                         {"https://evil.com/?token=hunter2", "", "https://evil.com"},
		"a stranger with a long name":        {"https://" + strings.Repeat("e", 300) + ".com/", "", "https://" + strings.Repeat("e", 192)},
		"another scheme":                     {"http://app.example.com/", "", "http://app.example.com"},
		"another port":                       {"https://app.example.com:8443/", "", "https://app.example.com:8443"},
		"the default port: no browser's":     {"https://app.example.com:443/", "", "https://app.example.com:443"},
		"an empty port":                      {"https://app.example.com:/", "", "https://app.example.com:"},
		"other letters: no browser's":        {"HTTPS://APP.example.com", "", "https://APP.example.com"},
		"a trailing dot":                     {"https://app.example.com./", "", "https://app.example.com."},
		"a subdomain":                        {"https://x.app.example.com/", "", "https://x.app.example.com"},
		"the suffix trick":                   {"https://app.example.com.evil.com/", "", "https://app.example.com.evil.com"},
		"the prefix trick":                   {"https://evil-app.example.com/", "", "https://evil-app.example.com"},
		"a list in one name":                 {"https://app.example.com,evil.com/", "", "https://app.example.com,evil.com"},
		"a star":                             {"https://*/", "", "https://*"},
		"a zone":                             {"http://[::1%25eth0]:5173/", "", "http://[::1%eth0]:5173"},
		"the same address, written longer":   {"http://[0::1]:5173/", "", "http://[0::1]:5173"},
		"this machine by its other name":     {"http://127.0.0.1:5173/", "", "http://127.0.0.1:5173"},
		"the same address as one number":     {"http://2130706433:5173/", "", "http://2130706433:5173"},
		"a fragment that would be a user":    {"https://evil.com#@app.example.com/", "", "https://evil.com"},
		"a query that would be a user":       {"https://evil.com?@app.example.com/", "", "https://evil.com"},
		"a path that would be an origin":     {"https://evil.com/https://app.example.com/", "", "https://evil.com"},
		"a semicolon, as in a proxy's paths": {"https://app.example.com;evil.com/", "", "https://app.example.com;evil.com"},
	}
}

func malformedReturns() map[string]returnTest {
	return map[string]returnTest{
		"an international name as letters":  {"https://äpp.example.com/", "", malformed},
		"wide letters that become ASCII":    {"https://ａpp.example.com/", "", malformed},
		"an ideographic full stop":          {"https://app。example.com/", "", malformed},
		"an escaped dot in the name":        {"https://app%2eexample.com/", "", malformed},
		"an escaped letter in the name":     {"https://%80/", "", malformed},
		"an escaped line feed in a zone":    {"http://[::1%25%0a]:5173/", "", malformed},
		"an escaped slash in the name":      {"https://app.example.com%2f@evil.com/", "", malformed},
		"an escaped end of the name":        {"https://app.example.com%00.evil.com/", "", malformed},
		"the trick with a user name":        {"https://app.example.com@evil.com", "", malformed},
		"with a password":                   {"https://app.example.com:443@evil.com", "", malformed},
		"a user of ours":                    {"https://user:password@app.example.com/", "", malformed},
		"an empty user":                     {"https://@app.example.com/", "", malformed},
		"a backslash ends a browser's name": {`https://app.example.com\@evil.com`, "", malformed},
		"and the other way round":           {`https://evil.com\@app.example.com`, "", malformed},
		"backslashes for slashes":           {`https:\\app.example.com`, "", malformed},
		"a backslash behind":                {`https://app.example.com/\evil.com`, "", malformed},
		"only slashes":                      {"//evil.com", "", malformed},
		"only slashes and ours":             {"//app.example.com", "", malformed},
		"slashes and a backslash":           {`/\evil.com`, "", malformed},
		"a path alone":                      {"/account", "", malformed},
		"a name alone":                      {"app.example.com", "", malformed},
		"no slash behind the scheme":        {"https:app.example.com", "", malformed},
		"no slash, a stranger":              {"https:evil.com", "", malformed},
		"one slash":                         {"https:/app.example.com", "", malformed},
		"three slashes":                     {"https:///app.example.com", "", malformed},
		"three slashes, a stranger":         {"https:///evil.com", "", malformed},
		"a tab inside":                      {"https://app.exam\tple.com/", "", malformed},
		"a tab in the scheme":               {"java\tscript:alert(1)", "", malformed},
		"a line feed inside":                {"https://app.example.com\n.evil.com/", "", malformed},
		"a line feed behind":                {"https://app.example.com/\n", "", malformed},
		"a blank before":                    {" https://app.example.com/", "", malformed},
		"a blank inside":                    {"https://app.example.com/a b", "", malformed},
		"a null":                            {"https://app.example.com/\x00", "", malformed},
		"no UTF-8":                          {"https://app.example.com/\xff", "", malformed},
		"a script":                          {"javascript:alert(1)", "", malformed},
		"a script that looks like a URL":    {"javascript://app.example.com/%0aalert(1)", "", malformed},
		"data":                              {"data:text/html,<script>alert(1)</script>", "", malformed},
		"a blob of ours":                    {"blob:https://app.example.com/1", "", malformed},
		"a view of the source":              {"view-source:https://app.example.com/", "", malformed},
		"another protocol":                  {"ftp://app.example.com/", "", malformed},
		"what is no URL":                    {"%", "", malformed},
		"a bad escape":                      {"https://app.example.com/%zz", "", malformed},
		"a forgotten variable":              {"undefined", "", malformed},
		"the scheme of nothing":             {"://app.example.com/", "", malformed},
	}
}

var meta = regexp.MustCompile(`<meta name="(return-[a-z]+)" content="([^"]*)">`)

func TestReturnTo(t *testing.T) {
	for reason, test := range returnTests() {
		t.Run(reason, func(t *testing.T) {
			var heard []string
			account := Account(AccountConfig{Origins: origins(), Refused: func(_ context.Context, origin string) { heard = append(heard, origin) }})
			plain := read(t, sendTo(account, "GET", "/account").Body)
			page := read(t, sendTo(account, "GET", "/account?lang=en&return_to="+url.QueryEscape(test.text)).Body)
			name, content, wantHeard := "return-to", test.target, []string(nil)
			if test.refused != "" {
				name, content, wantHeard = "return-refused", test.refused, []string{test.refused}
			}
			found := meta.FindAllStringSubmatch(page, -1)
			if len(found) != 1 || found[0][1] != name || html.UnescapeString(found[0][2]) != content {
				t.Fatalf("%q, want %s %q", found, name, content)
			}
			if strings.Replace(page, found[0][0], returnPlace, 1) != plain {
				t.Errorf("more than the element differs:\n%s", page)
			}
			if !slices.Equal(heard, wantHeard) {
				t.Errorf("the operator hears %q, not %q", heard, wantHeard)
			}
		})
	}
}

func TestReturnToIsOne(t *testing.T) {
	account := Account(AccountConfig{Origins: origins()}) // nobody hears of it
	for reason, test := range map[string]struct{ query, want string }{
		"not given":                           {"", ""},
		"empty":                               {"return_to=", ""},
		"another name":                        {"Return_To=https://evil.com/", ""},
		"twice, both good":                    {"return_to=https://app.example.com/&return_to=https://app.example.com/", malformed},
		"twice, a stranger first":             {"return_to=https://evil.com/&return_to=https://app.example.com/", malformed},
		"twice, a stranger behind":            {"return_to=https://app.example.com/&return_to=https://evil.com/", malformed},
		"not escaped: what follows is not it": {"return_to=https://app.example.com/?a=1&b=2", "https://app.example.com/?a=1"},
	} {
		page := read(t, sendTo(account, "GET", "/account?"+test.query).Body)
		found := meta.FindStringSubmatch(page)
		if (found == nil) != (test.want == "") || (found != nil && found[2] != test.want) {
			t.Errorf("%s: %q, want %q", reason, found, test.want)
		}
	}
	if res := sendTo(Account(AccountConfig{}), "GET", "/account?return_to=https:///"); res.StatusCode != http.StatusOK || !strings.Contains(read(t, res.Body), malformed) {
		t.Error("an empty list means nobody")
	}
}

// Whatever is accepted begins with a listed origin, letter by letter, which then ends: there a
// browser ends it as well (WHATWG URL, authority and host states), for nothing that it would drop,
// decode or turn round stands before.
func FuzzReturnTo(f *testing.F) {
	for _, test := range returnTests() {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		target, refused := returnTarget(text, origins())
		if (target == "") == (refused == "") || len(refused) > maxRefused {
			t.Fatalf("%q: target %q, refused %q", text, target, refused)
		}
		if strings.ContainsFunc(target+refused, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' }) {
			t.Fatalf("%q: %q %q", text, target, refused)
		}
		if target == "" {
			return
		}
		ours := slices.ContainsFunc(origins(), func(origin string) bool {
			rest, ok := strings.CutPrefix(target, origin)
			return ok && (rest == "" || strings.ContainsAny(rest[:1], "/?#"))
		})
		if !ours || len(text) > maxReturn {
			t.Fatalf("%q leads to %q", text, target)
		}
		if again, _ := returnTarget(target, origins()); again != target && len(target) <= maxReturn {
			t.Fatalf("%q leads to %q, and that to %q", text, target, again)
		}
	})
}
