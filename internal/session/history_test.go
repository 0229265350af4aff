package session_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"latchkey/internal/event"
	"latchkey/internal/session"
	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// Histories of one session, played against the real service and database. A browser is a jar
// with one cookie that its tabs share; a request takes the cookie as it is when it leaves, and
// an answer puts its cookie in when it arrives, in whatever order that happens. A thief copies
// the jar once and has a jar of his own.
//
// Time is the model's: the database is aged instead of waited for.

// TestMain plays fewer histories than rapid's 100 unless told otherwise
// (-rapid.checks=1000): the race detector makes SQLite slow.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const historyGrace = 30 // seconds

// network says what honest requests meet. Its bounds are what "honest" means: within a grace
// of a rotation the jar knows of it, and what was sent with the old cookie has arrived.
type network struct {
	maxDelay int // seconds, for each way
	losses   bool
}

var (
	slow  = network{maxDelay: 14}
	lossy = network{maxDelay: 5, losses: true}
)

type jar struct {
	name   string
	cookie token.Secret
	dead   bool // a refresh of it was refused
}

// parcel is something under way that arrives at a time.
type parcel struct {
	at     int
	arrive func()
}

type world struct {
	rt       *rapid.T
	t        *testing.T
	db       *storetest.Database
	sessions *session.Service
	codec    token.RefreshCodec
	net      network

	now     int
	transit []parcel
	log     []string

	owner, thief jar
	supersededAt map[int64]int // generation -> when its successor was made
	over         bool          // the server has refused a genuine token once
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%4ds ", w.now)+fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.rt.Fatalf("%s\nhistory:\n%s", fmt.Sprintf(format, args...), joinLines(w.log))
}

func joinLines(lines []string) string {
	out := ""
	for _, l := range lines {
		out += l + "\n"
	}
	return out
}

func (w *world) later(delay int, arrive func()) {
	w.transit = append(w.transit, parcel{w.now + delay, arrive})
}

// wait lets d seconds pass; what is under way arrives in the order of its time.
func (w *world) wait(d int) {
	end := w.now + d
	for {
		slices.SortStableFunc(w.transit, func(a, b parcel) int { return cmp.Compare(a.at, b.at) })
		if len(w.transit) == 0 || w.transit[0].at > end {
			break
		}
		next := w.transit[0]
		w.transit = w.transit[1:]
		w.pass(next.at - w.now)
		next.arrive()
	}
	w.pass(end - w.now)
}

func (w *world) pass(d int) {
	if d > 0 {
		w.db.Age(w.t, time.Duration(d)*time.Second)
		w.now += d
	}
}

// serve is the server's side of a refresh, with the checks that hold for every caller.
func (w *world) serve(who string, presented token.Secret) (answer token.Secret, setsCookie bool, err error) {
	generation := w.generation(presented)
	at, superseded := w.supersededAt[generation]
	g, err := w.sessions.Refresh(w.t.Context(), presented, session.Client{})
	if err != nil {
		if !errors.Is(err, session.ErrEnded) {
			w.fail("%s: %v", who, err)
		}
		w.note("%s presents %d: refused", who, generation)
		w.over = true
		return token.Secret{}, false, err
	}
	current := w.generation(g.Refresh)
	w.note("%s presents %d: gets %d", who, generation, current)
	switch {
	case w.over:
		w.fail("%s was let in after the session had ended for good", who)
	case superseded && w.now-at > historyGrace+1:
		w.fail("%s went on with a token that was superseded %d s ago", who, w.now-at)
	case current < generation || current > generation+1:
		w.fail("%s got generation %d for %d", who, current, generation)
	}
	if _, known := w.supersededAt[current-1]; !known {
		w.supersededAt[current-1] = w.now
	}
	return g.Refresh, !g.Unchanged, nil
}

func (w *world) generation(s token.Secret) int64 {
	r, err := w.codec.Decode(s)
	if err != nil {
		w.fail("the jar holds no token of ours: %v", err)
	}
	return r.Generation
}

// tab sends one refresh from a tab of the owner's browser.
func (w *world) tab(mayLose bool) {
	out := rapid.IntRange(0, w.net.maxDelay).Draw(w.rt, "way there")
	back := rapid.IntRange(0, w.net.maxDelay).Draw(w.rt, "way back")
	fate := "arrives"
	if mayLose && w.net.losses {
		fate = rapid.SampledFrom([]string{"arrives", "arrives", "request lost", "answer lost"}).Draw(w.rt, "fate")
	}
	presented := w.owner.cookie
	w.note("a tab sends %d (%s)", w.generation(presented), fate)
	again := func() {
		w.later(back+rapid.IntRange(0, w.net.maxDelay).Draw(w.rt, "patience"), func() { w.tab(false) })
	}
	if fate == "request lost" {
		again()
		return
	}
	w.later(out, func() {
		answer, setsCookie, err := w.serve("the owner", presented)
		switch {
		case err != nil:
			w.owner.dead = true
		case fate == "answer lost":
			again()
		case setsCookie:
			w.later(back, func() {
				w.owner.cookie = answer
				w.note("an answer puts %d into the owner's jar", w.generation(answer))
			})
		}
	})
}

func (w *world) steal() {
	if w.thief.cookie.Empty() {
		w.thief.cookie = w.owner.cookie
		w.note("a thief copies %d", w.generation(w.thief.cookie))
	}
}

func (w *world) stolen() {
	if w.thief.cookie.Empty() || w.thief.dead {
		return
	}
	answer, _, err := w.serve("the thief", w.thief.cookie)
	if err != nil {
		w.thief.dead = true
		return
	}
	w.thief.cookie = answer
}

func newWorld(t *testing.T, rt *rapid.T, db *storetest.Database, net network) *world {
	master, err := token.ParseMaster(token.GenerateMaster().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(t, "DELETE FROM users")
	db.Exec(t, "DELETE FROM signing_keys")
	sessions := newService(t, db, master, session.Config{Grace: historyGrace * time.Second, IdleTTL: 7 * 24 * time.Hour, TTL: 30 * 24 * time.Hour, Max: 50})
	u, err := db.CreateUser(t.Context(), user.User{ID: uuid.New(), Email: "ada@example.com", Roles: []user.Role{user.RoleUser}}, "")
	if err != nil {
		t.Fatal(err)
	}
	g, err := sessions.Start(t.Context(), u, session.Client{}, token.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		rt: rt, t: t, db: db, sessions: sessions, codec: token.NewRefreshCodec(master), net: net,
		owner: jar{name: "owner", cookie: g.Refresh}, supersededAt: map[int64]int{},
	}
}

func newService(t *testing.T, db *storetest.Database, master token.Master, cfg session.Config) *session.Service {
	t.Helper()
	return newLimitedService(t, db, master, unlimited{}, cfg)
}

func newLimitedService(t *testing.T, db *storetest.Database, master token.Master, limiter session.Limiter, cfg session.Config) *session.Service {
	t.Helper()
	keys := token.NewKeyring(db, master, token.EdDSA)
	if err := keys.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	issuer, err := token.NewIssuer(keys, token.IssuerConfig{Issuer: "http://localhost", Audience: "http://localhost", ClientID: "latchkey", TTL: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	s := session.New(db, session.Tokens{Access: issuer, Refresh: token.NewRefreshCodec(master)}, limiter, event.NewLog(log), cfg)
	if err := s.LoadEnded(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// draw plays a random history.
func (w *world) draw(actions []string) {
	for range rapid.IntRange(1, 40).Draw(w.rt, "length") {
		switch rapid.SampledFrom(actions).Draw(w.rt, "action") {
		case "tab":
			w.tab(true)
		case "moment":
			w.wait(rapid.IntRange(0, 20).Draw(w.rt, "seconds"))
		case "while":
			w.wait(rapid.IntRange(20, 100).Draw(w.rt, "seconds"))
		case "hour":
			w.wait(3600)
		case "steal":
			w.steal()
		case "stolen":
			w.stolen()
		}
	}
	w.wait(200)
}

// whatever tabs, delays, reordered and lost answers do, the jar stays good.
func TestHonestHistories(t *testing.T) {
	for name, net := range map[string]network{"slow network": slow, "lossy network": lossy} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *storetest.Database) {
				rapid.Check(t, func(rt *rapid.T) {
					w := newWorld(t, rt, db, net)
					w.draw([]string{"tab", "tab", "moment", "moment", "while", "hour"})
					if w.owner.dead {
						w.fail("an honest owner was logged out")
					}
					w.tab(false)
					w.wait(60)
					if w.owner.dead {
						w.fail("the jar was left with a bad token")
					}
				})
			})
		})
	}
}

// a thief and an owner never both go on once one of them has waited out the grace.
func TestStolenHistories(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		rapid.Check(t, func(rt *rapid.T) {
			w := newWorld(t, rt, db, slow)
			w.draw([]string{"tab", "stolen", "steal", "moment", "while", "hour"})
			w.steal()
			// Now one of them goes on and the other waits out the grace.
			first, second := w.stolen, func() { w.tab(false); w.wait(30) }
			if rapid.Bool().Draw(rt, "the owner first") {
				first, second = second, first
			}
			w.wait(100)
			first()
			w.wait(100)
			first() // whatever the first one got has rotated by now at the latest
			w.wait(100)
			second()
			w.wait(100)
			if !w.owner.dead && !w.thief.dead {
				w.fail("both went on")
			}
			w.thief.dead, w.owner.dead = false, false
			w.stolen()
			w.tab(false)
			w.wait(30)
			if !w.owner.dead || !w.thief.dead {
				w.fail("the session lives on after the alarm")
			}
		})
	})
}
