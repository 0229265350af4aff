package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestVerifyExamples runs the services of examples/verify beside the built server: what they
// accept, what they refuse, and what they do when they cannot tell.
func TestVerifyExamples(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Node and packages: make test")
	}
	t.Parallel()
	for language, command := range map[string]func(*testing.T) *exec.Cmd{
		"go": func(t *testing.T) *exec.Cmd {
			path := filepath.Join(t.TempDir(), "verify")
			build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
			build.Dir = "examples/verify/go"
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return exec.Command(path)
		},
		"node": func(*testing.T) *exec.Cmd { return exec.Command("node", "examples/verify/node/main.mjs") },
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			v := newVerifying(t, command(t))
			v.startsWithoutTheServer()
			v.refuses()
			v.learnsOfKeys()
			v.refusesEndedSessions()
			v.refusesWhenItCannotTell()
			v.livesThroughRotationAndRemoval()
			if v.front.count("If-None-Match") == 0 {
				t.Error("it fetches what it has")
			}
			if t.Failed() {
				t.Logf("%s", v.log)
			}
		})
	}
}

// verifying is a server, a service that verifies its tokens, and what stands between them.
type verifying struct {
	t       *testing.T
	site    site
	server  *process
	front   *front
	service string // where it answers
	log     *lockedBuffer
	ada     *client
	refresh string // ada's
}

func newVerifying(t *testing.T, command *exec.Cmd) *verifying {
	f := newFront(t)
	v := &verifying{t: t, front: f, log: &lockedBuffer{}, site: newSite(t, "sqlite", "LATCHKEY_PUBLIC_URL="+f.url), ada: &client{}}
	v.server = serveAlone(t, v.site.env...)
	f.serve(v.server.url)
	var codes []string
	v.refresh, codes = ask(t, v.ada, v.server, signUpBody, map[string]any{"e": "ada@example.com"})
	if len(codes) > 0 {
		t.Fatal(codes)
	}
	f.change(func(f *front) { f.away = true })
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "ISSUER=" + f.url, "ADDR=127.0.0.1:0"}
	out, in := io.Pipe()
	command.Stdout, command.Stderr = in, in
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = in.Close()
	})
	lines := bufio.NewScanner(io.TeeReader(out, v.log))
	for v.service == "" && lines.Scan() {
		v.service = regexp.MustCompile(`http://127\.0\.0\.1:\d+/hello`).FindString(lines.Text())
	}
	if v.service == "" {
		t.Fatalf("it does not say where it listens: %s", v.log)
	}
	go func() {
		for lines.Scan() { // or it would block
		}
	}()
	return v
}

// ask answers the status of a request with a token, and fails unless the rest goes with it.
func (v *verifying) ask(accessToken string) int {
	v.t.Helper()
	a, err := (&client{}).send(http.MethodGet, v.service, http.Header{"Authorization": {"Bearer " + accessToken}}, "")
	if err != nil {
		v.t.Fatalf("%v\n%s", err, v.log)
	}
	var body struct {
		User, Error string
		Roles       []string
	}
	if err := json.Unmarshal(a.body, &body); err != nil || a.header.Get("Content-Type") != "application/json" {
		v.t.Errorf("%v: %v %s", err, a.header, a.body)
	}
	ok := a.status == http.StatusOK
	if ok != (body.User != "") || ok != slices.Equal(body.Roles, []string{"USER"}) || ok != (body.Error == "") {
		v.t.Errorf("%d %s", a.status, a.body)
	}
	if (a.status == http.StatusUnauthorized) != (a.header.Get("WWW-Authenticate") == "Bearer") ||
		(a.status == http.StatusServiceUnavailable) != (a.header.Get("Retry-After") != "") {
		v.t.Errorf("%d %v", a.status, a.header)
	}
	return a.status
}

// until asks until the status is as wanted, and answers how long that took.
func (v *verifying) until(what, accessToken string, status int) time.Duration {
	v.t.Helper()
	began := time.Now()
	for {
		got := v.ask(accessToken)
		if got == status {
			return time.Since(began)
		}
		if time.Since(began) > 20*time.Second {
			v.t.Fatalf("%s: %d after 20 s, not %d\n%s", what, got, status, v.log)
		}
		time.Sleep(50 * time.Millisecond) // between two looks
	}
}

func (v *verifying) want(what, accessToken string, status int) {
	v.t.Helper()
	if got := v.ask(accessToken); got != status {
		v.t.Errorf("%s: %d, not %d", what, got, status)
	}
}

func (v *verifying) startsWithoutTheServer() {
	v.want("a good token, before there was a feed", v.ada.access, http.StatusServiceUnavailable)
	v.front.change(func(f *front) { f.away = false })
	v.until("a good token", v.ada.access, http.StatusOK)
}

func (v *verifying) refuses() {
	f := v.front
	v.want("a token by the test's own key", f.key.sign(f.claims(nil), "at+jwt"), http.StatusOK)
	feed, err := v.ada.send(http.MethodGet, v.server.url+"/revocations", http.Header{}, "")
	if err != nil {
		v.t.Fatal(err)
	}
	stranger := newSigner(v.t)
	stranger.id = f.key.id
	with := func(name string, value any) jwt.MapClaims { return f.claims(map[string]any{name: value}) }
	for why, token := range map[string]string{
		"none":                  "",
		"no token":              "a.b.c",
		"expired":               f.key.sign(with("exp", time.Now().Add(-5*time.Second).Unix()), "at+jwt"),
		"never expires":         f.key.sign(with("exp", nil), "at+jwt"),
		"for somebody else":     f.key.sign(with("aud", "https://other.example.com"), "at+jwt"),
		"for nobody":            f.key.sign(with("aud", nil), "at+jwt"),
		"from somebody else":    f.key.sign(with("iss", "https://other.example.com"), "at+jwt"),
		"of another type":       f.key.sign(f.claims(nil), "revocations+jwt"),
		"of no type":            f.key.sign(f.claims(nil), "JWT"),
		"the feed":              string(feed.body),
		"by a stranger's key":   stranger.sign(f.claims(nil), "at+jwt"),
		"of a key id not known": newSigner(v.t).sign(f.claims(nil), "at+jwt"),
		"not signed":            f.key.forge(f.claims(nil), jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"signed with a PEM":     f.key.forge(f.claims(nil), jwt.SigningMethodHS256, f.key.pem()),
		"signed with a JWK":     f.key.forge(f.claims(nil), jwt.SigningMethodHS256, f.key.jwk()),
		"changed":               strings.Replace(v.ada.access, ".ey", ".eyA", 1),
	} {
		v.want(why, token, http.StatusUnauthorized)
	}
	short := f.key.sign(with("exp", time.Now().Add(3*time.Second).Unix()), "at+jwt")
	v.want("a token for three seconds", short, http.StatusOK)
	v.until("a token after three seconds", short, http.StatusUnauthorized)
}

// learnsOfKeys: a token of a key that is new is accepted before the next poll, and made-up keys
// do not become as many requests.
func (v *verifying) learnsOfKeys() {
	f := v.front
	took := time.Hour
	for try := 0; try < 5 && took > 2500*time.Millisecond; try++ { // the next poll is three seconds away
		next := newSigner(v.t)
		f.poll()
		began := time.Now()
		f.change(func(f *front) { f.more = append(f.more, next) })
		v.until("a token of a new key", next.sign(f.claims(nil), "at+jwt"), http.StatusOK)
		took = time.Since(began)
	}
	if took > 2500*time.Millisecond {
		v.t.Errorf("a new key was known after %v", took)
	}
	before, began := f.count("/.well-known/jwks.json"), time.Now()
	for range 200 {
		if got := v.ask(newSigner(v.t).sign(f.claims(nil), "at+jwt")); got != http.StatusUnauthorized {
			v.t.Fatalf("a made-up key: %d", got)
		}
	}
	fetched, most := f.count("/.well-known/jwks.json")-before, 3+int(2*time.Since(began).Seconds())
	if fetched > most {
		v.t.Errorf("200 made-up keys in %v: fetched %d times", time.Since(began), fetched)
	}
}

// refusesEndedSessions, and does not unlearn them by what is no feed.
func (v *verifying) refusesEndedSessions() {
	f := v.front
	living, ended := v.ada.access, &client{}
	if _, codes := ask(v.t, ended, v.server, loginBody, map[string]any{"e": "ada@example.com", "p": "paper lantern quay"}); len(codes) > 0 {
		v.t.Fatal(codes)
	}
	v.want("before it ends", ended.access, http.StatusOK)
	if _, codes := ask(v.t, &client{access: ended.access}, v.server, logoutField, nil); len(codes) > 0 {
		v.t.Fatal(codes)
	}
	if took := v.until("an ended session", ended.access, http.StatusUnauthorized); took > 5*time.Second {
		v.t.Errorf("an ended session was let in for %v", took)
	}
	stranger := newSigner(v.t)
	stranger.id = f.key.id
	feed := func(more map[string]any) jwt.MapClaims {
		out := jwt.MapClaims{"iss": f.url, "exp": time.Now().Add(time.Minute).Unix(), "sids": []string{}}
		maps.Copy(out, more)
		return out
	}
	bad := []string{
		f.key.sign(feed(map[string]any{"aud": f.url, "sub": "x", "sid": "x"}), "at+jwt"),
		f.key.sign(feed(map[string]any{"iss": "https://other.example.com"}), "revocations+jwt"),
		f.key.sign(feed(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), "revocations+jwt"),
		f.key.sign(jwt.MapClaims{"iss": f.url, "sids": []string{}}, "revocations+jwt"),
		stranger.sign(feed(nil), "revocations+jwt"),
		f.key.forge(feed(nil), jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
	}
	f.change(func(f *front) { f.feeds = slices.Clone(bad) })
	for f.left() > 0 {
		v.want("an ended session, while bad feeds arrive", ended.access, http.StatusUnauthorized)
		time.Sleep(100 * time.Millisecond) // between two looks
	}
	v.want("another session of the same user", living, http.StatusOK)
}

// refusesWhenItCannotTell: the server is away, and the copy of the feed has expired.
func (v *verifying) refusesWhenItCannotTell() {
	f := v.front
	until := time.Now().Add(12 * time.Second).Truncate(time.Second)
	f.change(func(f *front) {
		f.feeds = []string{f.key.sign(jwt.MapClaims{"iss": f.url, "exp": until.Unix(), "sids": []string{}}, "revocations+jwt")}
		f.last = true
	})
	f.poll()
	v.until("a key that cannot be looked for", newSigner(v.t).sign(f.claims(nil), "at+jwt"), http.StatusServiceUnavailable)
	v.want("a good token, while the feed is good", v.ada.access, http.StatusOK)
	v.until("a bad token, without the server", "a.b.c", http.StatusServiceUnavailable)
	if early := time.Until(until); early > 0 {
		v.t.Errorf("it forgets the feed %v before its time", early)
	}
	v.want("a good token, without the server", v.ada.access, http.StatusServiceUnavailable)
	f.change(func(f *front) { f.away, f.last = false, false })
	v.until("a good token, with the server", v.ada.access, http.StatusOK)
}

func (v *verifying) livesThroughRotationAndRemoval() {
	old := v.ada.access
	next := regexp.MustCompile(`new signing key ([^, ]+)`).FindStringSubmatch(latchkey(v.t, v.site.env, "keys", "rotate"))
	if next == nil {
		v.t.Fatal("it does not say which key is new")
	}
	v.untilPublished("/.well-known/jwks.json", func(body string) bool { return strings.Contains(body, next[1]) })
	v.front.poll() // may have begun before
	v.front.poll()
	db, done := v.site.open()
	db.Age(v.t, 11*time.Minute)
	done()
	v.untilPublished("/revocations", func(feed string) bool { return keyOf(feed) != keyOf(old) })
	v.renew()
	v.want("a token of the new key", v.ada.access, http.StatusOK)
	v.want("a token of the old key", old, http.StatusOK)

	removed := v.ada.access
	latchkey(v.t, v.site.env, "keys", "remove", keyOf(removed))
	if took := v.until("a token of a removed key", removed, http.StatusUnauthorized); took > 12*time.Second {
		v.t.Errorf("a removed key is trusted for %v", took)
	}
	v.renew()
	v.until("a token of the next key", v.ada.access, http.StatusOK)
}

// untilPublished asks the server until what it publishes is as wanted.
func (v *verifying) untilPublished(path string, wanted func(body string) bool) {
	v.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		a, err := v.ada.send(http.MethodGet, v.server.url+path, http.Header{}, "")
		if err == nil && a.status == http.StatusOK && wanted(string(a.body)) {
			return
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("%s: %v, %d %s", path, err, a.status, a.body)
		}
	}
}

// renew brings ada a new access token.
func (v *verifying) renew() {
	v.t.Helper()
	var codes []string
	if v.refresh, codes = ask(v.t, v.ada, v.server, refreshBody, map[string]any{"t": v.refresh}); len(codes) > 0 {
		v.t.Fatal(codes)
	}
}
