package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// a Redis that goes away in the middle of a storm of logins turns away nobody who knows
// the password, holds up hardly anybody, and lets nobody guess on.
func TestLoginsWithoutRedis(t *testing.T) {
	needPostgres(t)
	for how, c := range map[string]struct {
		fail, mend func(s *storm)
		forgets    bool // Redis keeps its counters in memory
	}{
		"killed": {func(s *storm) { s.redis.kill() }, func(s *storm) { s.redis.start() }, true},
		"hung": {
			func(s *storm) { s.redis.signal(syscall.SIGSTOP) },
			func(s *storm) { s.redis.signal(syscall.SIGCONT) }, false,
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newStorm(t)
			s.run("before", func() bool { return s.limited("before") && s.logins("before") > 4 })
			s.link.asked.Store(0)
			began := time.Now()
			c.fail(s)
			s.run("away", func() bool {
				return time.Since(began) > 3*time.Second && s.fellBack() && s.limited("away") && s.logins("away") > 12
			})
			asked, took := s.link.asked.Load(), time.Since(began)
			c.mend(s)
			s.untilShared()
			s.run("back", func() bool { return s.limited("back") && s.logins("back") > 4 })
			t.Logf("Redis was asked %d times in %v by %d logins; the slowest took %v; answers %v",
				asked, took.Round(time.Millisecond), s.logins("away"), s.slowest.Round(time.Millisecond), s.seen)

			for answer, n := range s.seen {
				// A busy machine sheds hashes, which has nothing to do with Redis.
				if strings.Contains(answer, " honest ") && !strings.HasSuffix(answer, " OK") && !strings.HasSuffix(answer, " OVERLOADED") {
					t.Errorf("%s: %d", answer, n)
				}
			}
			// Who was under way pays the wait, and then one login of each process a second.
			if most := stormClients + len(s.processes)*(int(took.Seconds())+1); int(asked) > most {
				t.Errorf("Redis was asked %d times in %v, more than %d", asked, took, most)
			}
			most := stormLimit * (1 + len(s.processes))
			if c.forgets {
				most += stormLimit
			}
			if n := s.guesses(); n > most {
				t.Errorf("%d guesses at one account, more than %d", n, most)
			}
		})
	}
}

const (
	stormLimit  = 5 // guesses at one account
	stormHonest = 2
	// stormClients are all: the others guess.
	stormClients = stormHonest + 2
)

// storm is two replicas with a Redis of their own, and clients that log in without pause.
type storm struct {
	t         *testing.T
	processes []*process
	redis     *redisServer
	link      *proxy // counts how often Redis is asked

	mu      sync.Mutex
	seen    map[string]int // "phase who answer"
	slowest time.Duration
}

func newStorm(t *testing.T) *storm {
	r := newRedis(t)
	s := &storm{t: t, redis: r, link: newProxy(t, "unix", r.socket), seen: map[string]int{}}
	at := newSite(t, "postgres", "LATCHKEY_REDIS_URL=redis://"+s.link.address, fmt.Sprintf("LATCHKEY_LIMIT_LOGIN_ACCOUNT=%d/15m", stormLimit))
	for range 2 {
		s.processes = append(s.processes, serveBuilt(t, plainBinary, at.env...))
	}
	for i := range stormHonest {
		if _, codes := ask(t, &client{}, s.processes[0], signUpBody, map[string]any{"e": fmt.Sprintf("honest-%d@example.com", i)}); len(codes) > 0 {
			t.Fatal(codes)
		}
	}
	return s
}

// run lets the storm blow until enough has happened.
func (s *storm) run(phase string, enough func() bool) {
	var clients sync.WaitGroup
	over := make(chan struct{})
	for i := range stormClients {
		clients.Go(func() {
			who, email, password := "honest", fmt.Sprintf("honest-%d@example.com", i), "paper lantern quay"
			if i >= stormHonest {
				who, email, password = "guess", "victim@example.com", "a wrong guess"
			}
			for n := i; ; n++ {
				select {
				case <-over:
					return
				case <-time.After(10 * time.Millisecond): // leaves room for the other tests
				}
				s.login(phase, who, s.processes[n%len(s.processes)], email, password)
			}
		})
	}
	deadline := time.Now().Add(30 * time.Second)
	for !enough() && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	close(over)
	clients.Wait()
	if !enough() {
		s.t.Errorf("%s: not enough has happened in time: %v", phase, s.seen)
	}
}

func (s *storm) login(phase, who string, p *process, email, password string) {
	began := time.Now()
	_, codes := ask(s.t, &client{}, p, loginBody, map[string]any{"e": email, "p": password})
	if len(codes) == 0 {
		codes = []string{"OK"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[phase+" "+who+" "+strings.Join(codes, " ")]++
	if who == "honest" {
		s.slowest = max(s.slowest, time.Since(began))
	}
}

func (s *storm) count(answer string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[answer]
}

func (s *storm) logins(phase string) int   { return s.count(phase + " honest OK") }
func (s *storm) limited(phase string) bool { return s.count(phase+" guess RATE_LIMITED") > 0 }

func (s *storm) guesses() (n int) {
	for _, phase := range []string{"before", "away", "back"} {
		n += s.count(phase + " guess INVALID_CREDENTIALS")
	}
	return n
}

// fellBack: every process has told its log.
func (s *storm) fellBack() bool {
	for _, p := range s.processes {
		if !strings.Contains(p.log.String(), "Redis does not answer") {
			return false
		}
	}
	return true
}

// untilShared guesses at new accounts until the replicas count together again.
func (s *storm) untilShared() {
	for round, deadline := 0, time.Now().Add(time.Minute); ; round++ {
		phase := fmt.Sprintf("round-%d", round)
		var guesses sync.WaitGroup
		for i := range 3 * stormLimit {
			guesses.Go(func() {
				s.login(phase, "guess", s.processes[i%len(s.processes)], phase+"@example.com", "a wrong guess")
			})
		}
		guesses.Wait()
		if s.count(phase+" guess INVALID_CREDENTIALS") == stormLimit && s.count(phase+" guess RATE_LIMITED") == 2*stormLimit {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("the replicas do not count together again: %v", s.seen)
			return
		}
		time.Sleep(200 * time.Millisecond) // between two rounds
	}
}

// redisServer is a Redis that belongs to one test.
type redisServer struct {
	t      *testing.T
	socket string
	cmd    *exec.Cmd
}

func newRedis(t *testing.T) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("needs redis-server: make test")
	}
	dir, err := os.MkdirTemp("", "redis-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	r := &redisServer{t: t, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		r.kill()
		_ = os.RemoveAll(dir)
	})
	r.start()
	return r
}

// start returns when Redis answers; it is empty.
func (r *redisServer) start() {
	r.cmd = exec.Command("redis-server", "--port", "0", "--unixsocket", r.socket, "--save", "", "--appendonly", "no")
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket})
	defer func() { _ = c.Close() }()
	for deadline := time.Now().Add(20 * time.Second); c.Ping(r.t.Context()).Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal("redis-server does not answer")
		}
	}
}

func (r *redisServer) signal(s os.Signal) {
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Error(err)
	}
}

func (r *redisServer) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}
