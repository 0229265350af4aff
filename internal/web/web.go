// Package web serves what is embedded in the binary for browsers: the GraphQL IDE, the account
// page, the client.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed ide/dist client/dist account/dist
var files embed.FS

// idePolicy lets a page load what its own origin serves, and nothing else: an injected script
// neither runs nor sends anything away.
const idePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types lists the content types by file extension; mime.TypeByExtension depends on the
// machine it runs on.
var types = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml; charset=utf-8",
	".ts":   "text/plain; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
}

// A page is one embedded file, ready to be sent.
type page struct {
	contentType, hash string
	plain, gzip       []byte // gzip nil: sent as it is
	isIndex           bool   // never stored, for it belongs to this version of the server
}

// IDE answers GET and HEAD: "/" with the page of the GraphQL IDE, which sends its
// requests to POST /graphql of the same origin, and "/ide/…" with the assets of that
// page. Every other path is not found.
func IDE() http.Handler {
	pages := load("ide/dist", "/", "/ide/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPageHeaders(w.Header(), idePolicy)
		if page, ok := choose(w, r, pages()); ok {
			page.send(w, r)
		}
	})
}

// Client answers GET and HEAD: "/auth-client.js", a module that pages of any origin may import,
// and "/auth-client.d.ts", its types. Every other path is not found.
func Client() http.Handler {
	pages := load("client/dist", "/", "/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// It is the same public code for everybody, so no origin is a wrong one.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		page, ok := choose(w, r, pages())
		if !ok {
			return
		}
		if r.URL.Path == "/auth-client.js" {
			h.Set("X-TypeScript-Types", "/auth-client.d.ts")
		}
		page.send(w, r)
	})
}

func setPageHeaders(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// choose answers the page that is asked for, or refuses the request.
func choose(w http.ResponseWriter, r *http.Request, pages map[string]page) (page, bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return page{}, false
	}
	p, ok := pages[r.URL.Path]
	if !ok {
		http.Error(w, "not found", http.StatusNotFound)
	}
	return p, ok
}

func (p page) send(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body, etag := p.plain, p.hash
	if p.gzip != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, etag = p.gzip, p.hash+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", p.contentType)
	h.Set("Vary", "Accept-Encoding")
	if p.isIndex {
		h.Set("Cache-Control", "no-store")
	} else {
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", `"`+etag+`"`)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// load answers the pages of a directory by URL path: index.html at index, the others below
// assets. It waits for the first visitor, for compressing takes a moment.
func load(dir, index, assets string) func() map[string]page {
	return sync.OnceValue(func() map[string]page {
		entries, err := files.ReadDir(dir)
		if err != nil {
			panic(err) // the directory is part of the binary
		}
		pages := make(map[string]page)
		for _, entry := range entries {
			content, err := files.ReadFile(dir + "/" + entry.Name())
			if err != nil {
				panic(err)
			}
			p := page{
				contentType: types[path.Ext(entry.Name())], hash: fmt.Sprintf("%x", sha256.Sum256(content)),
				plain: content, gzip: compress(content), isIndex: entry.Name() == "index.html",
			}
			if p.isIndex {
				pages[index] = p
			} else {
				pages[assets+entry.Name()] = p
			}
		}
		return pages
	})
}

func compress(content []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	// Writing to a bytes.Buffer cannot fail.
	w.Write(content)
	w.Close()
	return buf.Bytes()
}

// acceptsGzip may take "gzip;q=0.5" for a refusal, which only costs bytes.
func acceptsGzip(header string) bool {
	header = strings.ReplaceAll(header, " ", "")
	return strings.Contains(header, "gzip") && !strings.Contains(header, "gzip;q=0")
}
