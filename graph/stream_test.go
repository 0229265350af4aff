package graph

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
)

const (
	eventsBody = `{"query":"subscription { sessionEvents { kind } }"}`
	acceptSSE  = "Accept: text/event-stream"
	ended      = "event: next\ndata: {\"data\":{\"sessionEvents\":{\"kind\":\"ENDED\"}}}\n\n"
	completed  = "event: complete\ndata:\n\n"
)

// recorder may be read while it is written.
type recorder struct {
	mu  sync.Mutex
	rec *httptest.ResponseRecorder
}

func newRecorder() *recorder { return &recorder{rec: httptest.NewRecorder()} }

func (r *recorder) Header() http.Header    { return r.rec.Header() }
func (r *recorder) WriteHeader(status int) { r.rec.WriteHeader(status) }
func (r *recorder) Flush()                 { r.rec.Flush() }

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rec.Write(p)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rec.Body.String()
}

// listen opens a stream of session events and answers how it ended, when it has.
func (f *fixture) listen(ctx context.Context, w http.ResponseWriter) (over <-chan struct{}) {
	r := httptest.NewRequestWithContext(reqctx.With(ctx, f.req), "POST", "/graphql", strings.NewReader(eventsBody))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.handler.ServeHTTP(w, r)
	}()
	return done
}

func (f *fixture) logout(t *testing.T) {
	t.Helper()
	if err := f.sessions.Logout(t.Context(), token.Secret{}, session.Principal{SessionID: ownSession}); err != nil {
		t.Error(err)
	}
}

// The stream tells of the session's end, and is over with the session, the access token or the
// server, whichever comes first.
func TestStreamIsOverWithItsSession(t *testing.T) {
	for why, test := range map[string]struct {
		do   func(f *fixture, leave func())
		wait time.Duration
		want string
	}{
		"logout":                {func(f *fixture, _ func()) { f.logout(t) }, 0, comment + ended + completed},
		"logout after a while":  {func(f *fixture, _ func()) { time.Sleep(50 * time.Second); f.logout(t) }, 0, strings.Repeat(comment, 4) + ended + completed},
		"the access token ends": {func(*fixture, func()) {}, 100 * time.Second, strings.Repeat(comment, 7) + completed},
		"the server stops":      {func(f *fixture, _ func()) { f.sessions.CloseWatches() }, 0, comment + completed},
		"the client is gone":    {func(_ *fixture, leave func()) { leave() }, 0, comment + completed},
	} {
		t.Run(why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, HandlerConfig{})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				f.req.Principal.Until = time.Now().Add(100 * time.Second)
				w := newRecorder()
				over := f.listen(ctx, w)
				synctest.Wait()
				if w.rec.Code != 200 || !w.rec.Flushed || w.text() != comment {
					t.Fatalf("%d %q", w.rec.Code, w.text())
				}
				for name, want := range map[string]string{"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"} {
					if got := w.Header().Get(name); got != want {
						t.Errorf("%s: %q", name, got)
					}
				}
				test.do(f, leave)
				time.Sleep(test.wait)
				<-over
				if got := w.text(); got != test.want {
					t.Errorf("%q, not %q", got, test.want)
				}
				time.Sleep(2 * heartbeat)
				if got := w.text(); got != test.want {
					t.Errorf("written after its end: %q", got)
				}
				for range 10 { // all the places of its session
					if stop, err := f.sessions.Watch(f.req.Principal, func(bool) {}); err == nil {
						defer stop()
					} else if why != "the server stops" {
						t.Errorf("it has left no room behind: %v", err)
					}
				}
				if notes := strings.Join(f.req.Notes(), " "); notes != "sessionEvents" {
					t.Errorf("in the log: %q", notes)
				}
			})
		})
	}
}

// Refusals are results: of any other answer a client of such streams sees the status alone.
func TestStreamRefusals(t *testing.T) {
	for why, test := range map[string]struct {
		body string
		req  func(f *fixture)
		code string
	}{
		"no access token":        {eventsBody, func(f *fixture) { f.req = &reqctx.Request{AuthErr: session.ErrNoToken} }, `"code":"UNAUTHENTICATED","reason":"TOKEN_MISSING"`},
		"an expired one":         {eventsBody, func(f *fixture) { f.req = &reqctx.Request{AuthErr: token.ErrAccessExpired} }, `"code":"UNAUTHENTICATED","reason":"TOKEN_EXPIRED"`},
		"nobody can tell":        {eventsBody, func(f *fixture) { f.req = &reqctx.Request{AuthErr: session.ErrUncertain} }, `"code":"OVERLOADED","retryAfter":2`},
		"the server is stopping": {eventsBody, func(f *fixture) { f.sessions.CloseWatches() }, `"code":"OVERLOADED","retryAfter":2`},
		"too many of a session": {eventsBody, func(f *fixture) {
			for {
				if _, err := f.sessions.Watch(f.req.Principal, func(bool) {}); err != nil {
					return
				}
			}
		}, `"code":"RATE_LIMITED","retryAfter":10`},
		"a document that does not parse": {`{"query":"subscription {"}`, func(*fixture) {}, `"code":"GRAPHQL_PARSE_FAILED"`},
		"a field that is not there":      {`{"query":"subscription { other }"}`, func(*fixture) {}, `"code":"GRAPHQL_VALIDATION_FAILED"`},
		"one field under two names":      {`{"query":"subscription { a: sessionEvents { kind } b: sessionEvents { kind } }"}`, func(*fixture) {}, `"code":"GRAPHQL_VALIDATION_FAILED"`},
		"no field":                       {`{"query":"subscription { sessionEvents @skip(if: true) { kind } }"}`, func(*fixture) {}, `"code":"GRAPHQL_VALIDATION_FAILED"`},
		"the schema's own field":         {`{"query":"subscription { __typename }"}`, func(*fixture) {}, `"code":"GRAPHQL_VALIDATION_FAILED"`},
	} {
		t.Run(why, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			test.req(f)
			w := f.send("POST", "/graphql", test.body, contentJSON, acceptSSE)
			events := strings.TrimPrefix(w.Body.String(), comment)
			if w.Code != 200 || !strings.HasPrefix(events, `event: next`+"\n"+`data: {"errors":[{"message":`) ||
				!strings.HasSuffix(events, "}]}\n\n"+completed) || !strings.Contains(events, test.code) {
				t.Errorf("%d %q", w.Code, w.Body)
			}
			if strings.Contains(f.log.String(), "level=ERROR") {
				t.Errorf("taken for our fault: %s", &f.log)
			}
		})
	}
}

func TestStreamsAreAskedForByName(t *testing.T) {
	const query, mutation = meBody, loginBody
	for why, test := range map[string]struct {
		method, body, accept string
		status               int
	}{
		"without a word":               {"POST", eventsBody, "", 406},
		"as JSON":                      {"POST", eventsBody, "application/json", 406},
		"as anything":                  {"POST", eventsBody, "*/*", 406},
		"expressly not as a stream":    {"POST", eventsBody, "text/event-stream;q=0, application/json", 406},
		"a query as a stream":          {"POST", query, "text/event-stream", 406},
		"a mutation as a stream":       {"POST", mutation, "text/event-stream", 406},
		"a query where both are taken": {"POST", query, "application/json, text/event-stream", 200},
		"as urql does":                 {"POST", query, "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed", 200},
		"by GET":                       {"GET", "", "text/event-stream", 405},
		"by GET, as JSON":              {"GET", "", "application/json", 405},
		"with another content type":    {"PUT", eventsBody, "text/event-stream", 405},
	} {
		t.Run(why, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			f.sessions.CloseWatches() // a stream by mistake ends
			w := f.send(test.method, "/graphql?query=subscription{sessionEvents{kind}}", test.body, contentJSON, "Accept: "+test.accept)
			if w.Code != test.status || !strings.Contains(w.Header().Get("Content-Type"), "json") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if r := decode(t, w); test.status != 200 && (code(t, r) != "BAD_REQUEST" || r.Data != nil) {
				t.Errorf("%+v", r)
			}
			if f.logins.calls > 0 {
				t.Error("login ran")
			}
		})
	}
}

// A stream outlives what bounds every other request, and its connection serves the next one.
func TestStreamOutlivesTheServersLimits(t *testing.T) {
	f := newFixture(t, HandlerConfig{})
	const limit = 100 * time.Millisecond
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.handler.ServeHTTP(w, r.WithContext(reqctx.With(r.Context(), f.req)))
	}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, limit
	server.Start()
	defer server.Close()
	post := func(accept, body string) *http.Response {
		t.Helper()
		r, _ := http.NewRequestWithContext(t.Context(), "POST", server.URL, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", accept)
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := post("text/event-stream", eventsBody)
	first := make([]byte, len(comment))
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != comment {
		t.Fatalf("%q, %v", first, err)
	}
	time.Sleep(5 * limit) // it is the time that is tested
	f.logout(t)
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != ended+completed {
		t.Errorf("%q, %v", rest, err)
	}
	_ = res.Body.Close()
	res = post("application/json", meBody)
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), `"data":{"me":{`) {
		t.Errorf("afterwards: %s, %v", body, err)
	}
	_ = res.Body.Close()
}

// brokenWriter fails from the second write on, as one does whose reader is gone or stuck.
type brokenWriter struct {
	http.ResponseWriter
	mu     sync.Mutex
	writes int
}

func (b *brokenWriter) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	if b.writes > 1 {
		return 0, errors.New("i/o timeout")
	}
	return len(p), nil
}

func (b *brokenWriter) Flush() {}

// Nobody who reads no more holds a place.
func TestStreamWithoutAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, HandlerConfig{})
		w := &brokenWriter{ResponseWriter: httptest.NewRecorder()}
		over := f.listen(t.Context(), w)
		time.Sleep(heartbeat)
		<-over
		if w.writes != 2 {
			t.Errorf("%d writes", w.writes)
		}
	})
}

// A reader that takes nothing is given up: the server's own limit does not count any more.
func TestStreamWithAStuckReader(t *testing.T) {
	var deadlines []time.Time
	w := &deadlineWriter{ResponseWriter: httptest.NewRecorder(), set: func(d time.Time) { deadlines = append(deadlines, d) }}
	s := newEventStream(w, func() {})
	before := time.Now()
	s.complete()
	if len(deadlines) != 2 || deadlines[1].Before(before.Add(streamWrite)) || deadlines[1].After(time.Now().Add(streamWrite)) {
		t.Errorf("deadlines: %v", deadlines)
	}
}

type deadlineWriter struct {
	http.ResponseWriter
	set func(time.Time)
}

func (d *deadlineWriter) SetWriteDeadline(at time.Time) error { d.set(at); return nil }
func (d *deadlineWriter) Flush()                              {}

// Streams of a team's own fields are over with the session too, whatever their resolvers do.
func TestEveryStreamIsOverWithItsSession(t *testing.T) {
	for why, order := range map[string][]func(s *subscription){
		"the resolver first":           {(*subscription).resolved, func(s *subscription) { s.sessionOver(true) }},
		"the session first":            {func(s *subscription) { s.sessionOver(true) }, (*subscription).resolved},
		"the access token has expired": {(*subscription).resolved, func(s *subscription) { s.sessionOver(false) }},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s := &subscription{cancel: cancel}
		order[0](s)
		if ctx.Err() != nil {
			t.Errorf("%s: over too early", why)
		}
		order[1](s)
		if ctx.Err() == nil {
			t.Errorf("%s: it goes on", why)
		}
		cancel()
	}
	// Only sessionEvents tells why; also when the session ended before it was asked.
	s := &subscription{cancel: func() { t.Error("cut off before its event") }}
	s.sessionOver(true)
	events, err := sessionEvents(context.WithValue(t.Context(), subscriptionKey{}, s))
	if err != nil {
		t.Fatal(err)
	}
	s.resolved()
	if e := <-events; e == nil || e.Kind != "ENDED" {
		t.Errorf("%v", e)
	}
	if e, open := <-events; open {
		t.Errorf("and then %v", e)
	}
	if _, err := sessionEvents(t.Context()); !errors.Is(err, errNoStream) {
		t.Errorf("outside a stream: %v", err)
	}
}

// a query has a time limit, which a stream has not.
func TestOperationsAreBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, HandlerConfig{})
		f.users.hang = true
		began := time.Now()
		if r := decode(t, f.post("{ me { id } }", nil)); code(t, r) != "OVERLOADED" || time.Since(began) != operationTimeout {
			t.Errorf("%+v after %v", r, time.Since(began))
		}
	})
}
