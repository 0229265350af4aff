package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

const (
	crashes        = 20
	crashSigners   = 2
	crashRefresher = 3
	crashJars      = 5 // of each refresher
)

// a server that is killed at any moment, over and over, loses nothing that it has
// acknowledged, and logs nobody out who repeats what got no answer.
func TestKilledServer(t *testing.T) {
	for _, engine := range storetest.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, engine)
			for range crashRefresher * crashJars {
				c.visitors = append(c.visitors, c.signUp())
			}
			standing := slices.Clone(c.visitors)
			for range crashes {
				c.round(standing)
			}
			c.check()
			t.Logf("%d kills: %d sign-ups, %d refreshes and %d logouts acknowledged; %d answers lost, of which %d sign-ups and %d rotations had been committed",
				crashes, c.signUps.Load(), c.refreshes.Load(), c.logouts.Load(), c.lost.Load(), c.lostSignUps.Load(), c.lostRotations)
			if c.lost.Load() == 0 || c.logouts.Load() == 0 {
				t.Error("nothing was under way when the server was killed")
			}
		})
	}
}

// crash is a server that is killed, its clients, and what it has acknowledged to them.
type crash struct {
	t *testing.T
	site
	path  string
	codec token.RefreshCodec
	p     *process
	url   atomic.Value // string; "" while there is no server

	mu       sync.Mutex
	visitors []*visitor

	signUps, refreshes, logouts, lost, lostSignUps atomic.Int64
	lostRotations                                  int
}

// visitor is a client with one session and what was acknowledged of it.
type visitor struct {
	client
	email      string
	cookie     string // after logout, which takes it from the jar
	session    uuid.UUID
	generation atomic.Int64
	left       atomic.Bool
}

func newCrash(t *testing.T, engine string) *crash {
	t.Helper()
	c := &crash{t: t, site: newSite(t, engine)}
	c.codec = token.NewRefreshCodec(c.master)
	var err error
	if c.path, err = plainBinary(); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.url.Store(c.p.url)
	t.Cleanup(func() { c.p.kill() })
	return c
}

func (c *crash) start() {
	p, err := start(c.path, c.env, &lockedBuffer{})
	if err != nil {
		c.t.Fatalf("%v\n%s", err, p.log)
	}
	c.p = p
}

// round lets clients work, kills the server in the middle of it and starts another, until each
// client has an answer.
func (c *crash) round(standing []*visitor) {
	over := make(chan struct{})
	var clients sync.WaitGroup
	work := func(do func(n int)) {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
					do(n)
				}
			}
		})
	}
	for i := range crashRefresher {
		jars := standing[i*crashJars : (i+1)*crashJars]
		work(func(n int) { c.refresh(jars[n%len(jars)]) })
	}
	for range crashSigners {
		work(func(n int) {
			v := c.signUp()
			c.refresh(v)
			if n%2 == 0 {
				c.logout(v)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.visitors = append(c.visitors, v)
		})
	}
	time.Sleep(time.Duration(rand.Int64N(int64(250 * time.Millisecond)))) // any moment
	c.url.Store("")
	c.p.kill()
	c.start()
	c.lookAtDatabase()
	c.url.Store(c.p.url)
	close(over)
	clients.Wait()
	// Beyond two graces, so that every session rotates in the next round. Nobody holds an old
	// token now.
	db, done := c.open()
	defer done()
	db.Age(c.t, 61*time.Second)
}

// lookAtDatabase compares it with what was acknowledged, before anybody may make up for a loss.
func (c *crash) lookAtDatabase() {
	db, done := c.open()
	defer done()
	generations, ended := map[string]int64{}, map[string]bool{}
	for line := range strings.Lines(db.Text(c.t, "SELECT id, generation, CASE WHEN ended_at IS NULL THEN 'alive' ELSE 'ended' END FROM sessions") + "\n") {
		var id, state string
		var generation int64
		if _, err := fmt.Sscan(line, &id, &generation, &state); err != nil {
			c.t.Fatal(err)
		}
		generations[id], ended[id] = generation, state == "ended"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.visitors {
		id := v.session.String()
		stored, found := generations[id]
		acknowledged := v.generation.Load()
		switch {
		case !found:
			c.t.Errorf("the session of %s is gone", v.email)
		case stored < acknowledged:
			c.t.Errorf("the session of %s is at %d, and %d was handed out", v.email, stored, acknowledged)
		case v.left.Load() && !ended[id]:
			c.t.Errorf("the session of %s lives again", v.email)
		case stored > acknowledged:
			c.lostRotations++
		}
	}
}

// ask repeats a request with the same jar until it is answered, and answers the codes and how
// many answers were lost.
func (c *crash) ask(v *visitor, document string, variables map[string]any) (codes []string, lost int) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if url := c.url.Load().(string); url != "" {
			a, err := v.gql(url, document, variables)
			codes = a.codes()
			if err == nil && !slices.Contains(codes, "OVERLOADED") { // a busy machine may be asked again
				return codes, lost
			}
			if err != nil {
				c.lost.Add(1)
				lost++
			}
		}
		if time.Now().After(deadline) {
			return []string{"no answer"}, lost
		}
	}
}

func (c *crash) signUp() *visitor {
	v := &visitor{client: client{cookies: map[string]string{}}, email: uuid.NewString() + "@example.com"}
	codes, lost := c.ask(v, signUpCookie, map[string]any{"e": v.email})
	if lost > 0 && slices.Equal(codes, []string{"EMAIL_TAKEN"}) {
		c.lostSignUps.Add(1)
		codes = c.login(v)
	}
	if len(codes) > 0 {
		c.t.Errorf("sign-up after %d lost answers: %v", lost, codes)
	}
	c.signUps.Add(1)
	r, _ := c.codec.Decode(token.NewSecret(v.cookies["refresh"]))
	v.session = r.SessionID
	c.acknowledge(v)
	return v
}

func (c *crash) login(v *visitor) []string {
	codes, _ := c.ask(v, loginCookie, map[string]any{"e": v.email, "p": "paper lantern quay"})
	return codes
}

func (c *crash) refresh(v *visitor) {
	if codes, lost := c.ask(v, refreshField, nil); len(codes) > 0 {
		c.t.Errorf("refresh after %d lost answers: %v", lost, codes)
	}
	c.refreshes.Add(1)
	c.acknowledge(v)
}

func (c *crash) logout(v *visitor) {
	v.cookie = v.cookies["refresh"]
	if codes, lost := c.ask(v, logoutField, nil); len(codes) > 0 {
		c.t.Errorf("logout after %d lost answers: %v", lost, codes)
	}
	c.logouts.Add(1)
	v.left.Store(true)
	if codes, _ := c.ask(v, meField, nil); !slices.Equal(codes, []string{"UNAUTHENTICATED SESSION_ENDED"}) {
		c.t.Errorf("after logout: %v", codes)
	}
}

// acknowledge notes what the refresh token in the jar says.
func (c *crash) acknowledge(v *visitor) {
	r, err := c.codec.Decode(token.NewSecret(v.cookies["refresh"]))
	if err != nil {
		c.t.Errorf("in the jar of %s: %v", v.email, err)
		return
	}
	if r.SessionID != v.session {
		c.t.Errorf("%s has another session", v.email)
	}
	v.generation.Store(r.Generation)
}

// check asks the server for everything that was ever acknowledged.
func (c *crash) check() {
	db, done := c.open()
	defer done()
	if n := db.Text(c.t, "SELECT count(*) FROM users"); n != fmt.Sprint(c.signUps.Load()) {
		c.t.Errorf("%s users, and %d sign-ups were acknowledged", n, c.signUps.Load())
	}
	var clients sync.WaitGroup
	for part := range slices.Chunk(c.visitors, len(c.visitors)/4+1) {
		clients.Go(func() {
			for _, v := range part {
				if v.left.Load() {
					v.cookies["refresh"] = v.cookie
					if codes, _ := c.ask(v, refreshField, nil); !slices.Equal(codes, []string{"SESSION_ENDED logout"}) {
						c.t.Errorf("refresh after logout: %v", codes)
					}
					delete(v.cookies, "refresh")
				} else {
					c.refresh(v)
					if codes, _ := c.ask(v, meField, nil); len(codes) > 0 {
						c.t.Errorf("me: %v", codes)
					}
				}
				if codes := c.login(v); len(codes) > 0 {
					c.t.Errorf("login: %v", codes)
				}
			}
		})
	}
	clients.Wait()
}
