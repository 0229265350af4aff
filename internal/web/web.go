// Package web serves the pages embedded in the binary: the GraphQL IDE.
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

//go:embed ide/dist
var files embed.FS

// csp lets a page load what its own origin serves, and nothing else: an injected script
// neither runs nor sends anything away.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types lists the content types by file extension; mime.TypeByExtension depends on the
// machine it runs on.
var types = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",
}

// A page is one embedded file, ready to be sent.
type page struct {
	contentType, hash string
	plain, gzip       []byte
}

// IDE answers GET and HEAD: "/" with the page of the GraphQL IDE, which sends its
// requests to POST /graphql of the same origin, and "/ide/…" with the assets of that
// page. Every other path is not found.
func IDE() http.Handler {
	// Compressing takes a moment, which a server without visitors need not spend.
	pages := sync.OnceValue(load)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		page, ok := pages()[r.URL.Path]
		if !ok {
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		body, etag := page.plain, page.hash
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body, etag = page.gzip, page.hash+"-gzip"
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("Content-Type", page.contentType)
		h.Set("Vary", "Accept-Encoding")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", `"`+etag+`"`)
		if r.URL.Path == "/" {
			h.Set("Cache-Control", "no-store")
			h.Del("ETag")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// load returns the pages by URL path.
func load() map[string]page {
	const dir = "ide/dist"
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
		url := "/ide/" + entry.Name()
		if entry.Name() == "index.html" {
			url = "/"
		}
		hash := fmt.Sprintf("%x", sha256.Sum256(content))
		pages[url] = page{types[path.Ext(entry.Name())], hash, content, compress(content)}
	}
	return pages
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
