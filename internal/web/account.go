package web

import (
	"bytes"
	"context"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	// accountPolicy lets no string become code: neither an injected element nor a careless
	// innerHTML runs anything.
	accountPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	// returnPlace is where account/index.html says nothing about return_to yet.
	returnPlace = "<!-- return-to -->"
	maxReturn   = 2 << 10
	maxRefused  = 200
	malformed   = "a malformed address"
)

// AccountConfig says where the account page may lead.
type AccountConfig struct {
	// Origins may be come back to; each as browsers write it, such as https://app.example.com.
	Origins []string
	// Refused hears of the origin that return_to named in vain, or that it was malformed; nil:
	// nobody does. It is bounded, printable, and never the whole URL, which may carry secrets.
	Refused func(ctx context.Context, origin string)
}

// Account answers GET and HEAD: "/account" with the page on which people sign up, log in and look
// after their sessions, and "/account/…" with its assets. Every other path is not found.
//
// The query parameter return_to names a URL to come back to after logging in. The page learns of
// it by <meta name="return-to" content="URL">, or by <meta name="return-refused"
// content="ORIGIN"> if that origin is not listed.
func Account(cfg AccountConfig) http.Handler {
	pages := load("account/dist", "/account", "/account/")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setPageHeaders(w.Header(), accountPolicy)
		page, ok := choose(w, r, pages())
		if !ok {
			return
		}
		// Given twice it is refused: its readers might not agree on which one counts.
		if wanted := strings.Join(r.URL.Query()["return_to"], " "); page.isIndex && wanted != "" {
			target, refused := returnTarget(wanted, cfg.Origins)
			if refused == "" {
				page = page.telling("return-to", target)
			} else {
				page = page.telling("return-refused", refused)
				if cfg.Refused != nil {
					cfg.Refused(r.Context(), refused)
				}
			}
		}
		page.send(w, r)
	})
}

// telling is the page with a meta element.
func (p page) telling(name, content string) page {
	element := `<meta name="` + name + `" content="` + html.EscapeString(content) + `">`
	p.plain = bytes.Replace(p.plain, []byte(returnPlace), []byte(element), 1)
	p.gzip = nil // compressing for one visitor would cost more than it saves
	return p
}

// returnTarget answers the URL to send a browser to, or else what was refused. The target is not
// what was written but what was understood, so that nothing is left for a browser to understand
// otherwise; and only characters that stand in a browser's address bar are let through.
func returnTarget(text string, origins []string) (target, refused string) {
	foreign := func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.Host == "" {
		return "", malformed
	}
	if len(text) > maxReturn || strings.ContainsFunc(text, foreign) || strings.ContainsFunc(u.Host, foreign) { // Parse decodes it
		return "", malformed
	}
	// Compared as in LATCHKEY_ALLOWED_ORIGINS: letter by letter.
	origin := u.Scheme + "://" + u.Host
	if !slices.Contains(origins, origin) {
		return "", origin[:min(len(origin), maxRefused)]
	}
	return u.String(), ""
}
