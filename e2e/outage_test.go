package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// staleAfter is how old a replica's view of the ended sessions may be, and a second.
const staleAfter = 16 * time.Second

const (
	signUpCookie = `mutation($e: String!) { signUp(input: {email: $e, password: "paper lantern quay"}) { accessToken } }`
	loginCookie  = `mutation($e: String!, $p: String!) { login(input: {email: $e, password: $p}) { accessToken } }`
	refreshField = "mutation { refresh { accessToken } }"
	logoutField  = "mutation { logout }"
	meField      = "{ me { email } }"
)

// a replica that is cut off from the database refuses rather than guesses, signs
// nobody out, and is back soon after the link is.
func TestReplicaWithoutDatabase(t *testing.T) {
	needPostgres(t)
	for how, l := range map[string]link{"cut off": cut, "hung": hangs} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			leaver, stayer := o.signUp("leaver"), o.signUp("stayer")
			refresher, quitter := o.signUp("refresher"), o.signUp("quitter")

			o.link.set(l, 0)
			o.since = time.Now()
			if _, codes := ask(t, copyOf(leaver), o.a, logoutField, nil); len(codes) > 0 {
				t.Fatalf("logout where the database is: %v", codes)
			}
			var outage, underWay sync.WaitGroup
			outage.Go(func() { o.refusesWork(refresher, quitter) })
			for _, who := range []*client{leaver, stayer} {
				outage.Go(func() { o.watch(who, &underWay) })
			}
			outage.Wait()
			if _, codes := ask(t, stayer, o.a, meField, nil); len(codes) > 0 {
				t.Errorf("the other replica suffers: %v", codes)
			}

			o.healed.Store(true)
			o.link.set(passes, 0)
			healed := time.Now()
			underWay.Wait()
			if got := o.until(leaver, func(codes []string) bool { return !isOutage(codes) }); !slices.Equal(got, []string{"UNAUTHENTICATED SESSION_ENDED"}) {
				t.Errorf("afterwards the ended session gets %q", got)
			}
			if got := o.until(stayer, func(codes []string) bool { return !isOutage(codes) }); len(got) > 0 {
				t.Errorf("afterwards the living session gets %q", got)
			}
			o.untilReady(http.StatusOK)
			t.Logf("caught up %v after the link was back", time.Since(healed).Round(time.Millisecond))
			if _, codes := ask(t, refresher, o.b, refreshField, nil); len(codes) > 0 {
				t.Errorf("the repeated refresh: %v", codes)
			}
			if _, codes := ask(t, refresher, o.b, meField, nil); len(codes) > 0 {
				t.Errorf("and what it brought: %v", codes)
			}
			access := quitter.access
			if _, codes := ask(t, quitter, o.b, logoutField, nil); len(codes) > 0 || quitter.cookies["refresh"] != "" {
				t.Errorf("the repeated logout: %v, cookies %v", codes, quitter.cookies)
			}
			if _, codes := ask(t, &client{access: access}, o.b, meField, nil); !slices.Equal(codes, []string{"UNAUTHENTICATED SESSION_ENDED"}) {
				t.Errorf("and after it: %v", codes)
			}
		})
	}
}

// a replica whose database is far away learns of an end as soon as the news can travel,
// not only when it looks.
func TestReplicaFarAway(t *testing.T) {
	needPostgres(t)
	o := newOutage(t)
	const rounds = 5
	o.link.set(passes, 100*time.Millisecond)
	began := time.Now()
	for i := range rounds {
		c := o.signUp("ada-" + strconv.Itoa(i))
		if _, codes := ask(t, copyOf(c), o.a, logoutField, nil); len(codes) > 0 {
			t.Fatal(codes)
		}
		if got := o.until(c, func(codes []string) bool { return len(codes) > 0 }); !slices.Equal(got, []string{"UNAUTHENTICATED SESSION_ENDED"}) {
			t.Fatalf("it still gets %q", got)
		}
	}
	took := time.Since(began).Round(time.Millisecond)
	t.Logf("%d ends were learned of in %v", rounds, took)
	if took > (rounds-2)*5*time.Second { // a look every five seconds takes longer
		t.Error("not by the news")
	}
}

// outage is two replicas, the second of which has the database behind a link.
type outage struct {
	t      *testing.T
	a, b   *process
	link   *proxy
	since  time.Time // the link is down
	healed atomic.Bool
}

func newOutage(t *testing.T) *outage {
	s := newSite(t, "postgres")
	db, _ := s.open()
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := &outage{t: t, link: newProxy(t, "tcp", u.Host)}
	u.Host = o.link.address
	o.a = serveAlone(t, s.env...)
	o.b = serveAlone(t, append(s.env, "LATCHKEY_DATABASE_URL="+u.String())...)
	return o
}

// signUp makes a user whom both replicas know.
func (o *outage) signUp(name string) *client {
	o.t.Helper()
	c := &client{cookies: map[string]string{}}
	if _, codes := ask(o.t, c, o.a, signUpCookie, map[string]any{"e": name + "@example.com"}); len(codes) > 0 {
		o.t.Fatal(codes)
	}
	if _, codes := ask(o.t, c, o.b, meField, nil); len(codes) > 0 {
		o.t.Fatalf("before the outage: %v", codes)
	}
	return c
}

func copyOf(c *client) *client { return &client{access: c.access} }

// isOutage: what a client may take for nothing but an outage.
func isOutage(codes []string) bool {
	return slices.Equal(codes, []string{"OVERLOADED"}) || slices.Equal(codes, []string{"INTERNAL"})
}

// watch asks the replica without a database for a guarded field, until its view of the ended
// sessions has been too old for a while.
func (o *outage) watch(c *client, underWay *sync.WaitGroup) {
	for refusals := 0; refusals < 4; {
		sent := time.Since(o.since)
		if sent < staleAfter {
			underWay.Go(func() { o.asks(c, sent) }) // where the database hangs, so does this
		} else {
			refusals++
			o.asks(c, sent)
		}
		time.Sleep(500 * time.Millisecond) // between two requests
	}
}

// asks counts a request by when it was sent: one that passed the guard in time may still get
// its answer when the link is back.
func (o *outage) asks(c *client, sent time.Duration) {
	a, err := copyOf(c).gql(o.b.url, meField, nil)
	codes := a.codes()
	switch {
	case err != nil:
		o.t.Error(err)
	case sent < staleAfter && o.healed.Load() && len(codes) == 0:
	case !isOutage(codes) || strings.Contains(string(a.body), "@example.com"):
		o.t.Errorf("after %v without a database: %s", sent, a.body)
	case sent >= staleAfter && codes[0] != "OVERLOADED":
		o.t.Errorf("after %v without a database it went past the guard: %v", sent, codes)
	}
}

// refusesWork tries what needs the database: nothing may be claimed, no cookie may change (R-42,
//
func (o *outage) refusesWork(refresher, quitter *client) {
	var work sync.WaitGroup
	for what, c := range map[string]*client{refreshField: refresher, logoutField: quitter} {
		work.Go(func() {
			before := c.cookies["refresh"]
			a, err := c.gql(o.b.url, what, nil)
			if err != nil || !isOutage(a.codes()) || !strings.Contains(string(a.body), `"data":null`) {
				o.t.Errorf("%s: %v, %s", what, err, a.body)
			}
			if c.cookies["refresh"] != before || len(a.header.Values("Set-Cookie")) > 0 {
				o.t.Errorf("%s: the cookie changed: %v", what, a.header)
			}
		})
	}
	for _, password := range []string{"paper lantern quay", "a wrong guess"} {
		work.Go(func() {
			_, codes := ask(o.t, &client{}, o.b, loginCookie, map[string]any{"e": "stayer@example.com", "p": password})
			if !isOutage(codes) {
				o.t.Errorf("login: %v", codes)
			}
		})
	}
	work.Go(func() { o.untilReady(http.StatusServiceUnavailable) })
	work.Wait()
}

// until asks for a guarded field until the answer is settled; an outage is over in seconds.
func (o *outage) until(c *client, settled func(codes []string) bool) []string {
	o.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, codes := ask(o.t, copyOf(c), o.b, meField, nil)
		if settled(codes) || time.Now().After(deadline) {
			return codes
		}
	}
}

func (o *outage) untilReady(status int) {
	o.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		a, err := (&client{}).send(http.MethodGet, o.b.url+"/readyz", http.Header{}, "")
		if err == nil && a.status == status {
			return
		}
		if time.Now().After(deadline) {
			o.t.Errorf("readiness: %d, %v, not %d", a.status, err, status)
			return
		}
	}
}
