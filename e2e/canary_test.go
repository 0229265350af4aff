package e2e

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

// no secret is where it has no business. R-97: nor is a refresh token in an answer to who
// keeps it in a cookie. R-63: nor is anything in the database that could be presented. R-43: nor
// is an address in a counter.
func TestNoSecretLeaks(t *testing.T) {
	for _, engine := range storetest.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			c := newCanaries(t, engine)
			c.signIn()
			c.expire()
			c.mistakes()
			c.names()
			c.headers()
			c.rawBytes()
			c.pages()
			c.commands()
			c.failures()
			c.failingStarts()
			c.sweepAll()
		})
	}
}

// canaries is a running server with a secret in every setting.
type canaries struct {
	*sweep
	engine, dir string
	db          *storetest.Database
	env         []string
	server      *process
	screen      *lockedBuffer
	master      token.Master
	redis       *redis.Client
	agent       string // what our User-Agent says
	address     string // of the user whom all is done to
}

func newCanaries(t *testing.T, engine string) *canaries {
	s := &sweep{t: t, needles: map[[8]byte][]needle{}}
	c := &canaries{sweep: s, engine: engine, dir: filepath.Join(t.TempDir(), "data"), screen: &lockedBuffer{}}
	// Shown by design, and therefore to be found: it proves that the sweep looks there.
	c.agent = s.random("the user agent", append(inTable(engine, "sessions"), "log")...)
	// Personal data: not in our log, nor in Redis, nor in the text of a statement.
	c.address = s.random("an address", append(inTable(engine, "users"), "answer to me", "command user list", "?answer to")...) + "@example.com"
	secret, other := token.GenerateMaster().Reveal(), token.GenerateMaster().Reveal()
	c.addMaster("the other master secret", other)
	c.env = []string{
		"LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_PUBLIC_URL=http://localhost:8080", "LATCHKEY_DATA_DIR=" + c.dir, "LATCHKEY_LOG_LEVEL=debug",
		"LATCHKEY_SECRET_OTHER=" + other, "LATCHKEY_LIMIT_LOGIN_ACCOUNT=3/15m", "LATCHKEY_PASSWORD_MIN_LENGTH=40", "LATCHKEY_LIMIT_LOGIN_ADDRESS=1000/1m", "LATCHKEY_LIMIT_SIGNUP_ADDRESS=1000/1m",
		"LATCHKEY_LIMIT_REQUESTS=10000/1m", "LATCHKEY_LIMIT_REFRESH_INVALID=10000/1m", "LATCHKEY_LIMIT_LOGIN_SPRAY=1000/1m",
	}
	if engine == "postgres" {
		c.db = storetest.Empty(t, engine)
		// As SECURITY.md asks of who logs statements: their text without parameters.
		for _, setting := range []string{"log_statement = 'all'", "log_parameter_max_length = 0"} {
			c.db.Exec(t, "ALTER DATABASE "+c.database()+" SET "+setting)
		}
		own := must(sql.Open("pgx", c.db.URL))
		must(own.ExecContext(t.Context(), "SELECT '"+s.random("a statement of the test's", "Postgres' log", "?pg_stat_activity")+"'"))
		_ = own.Close()
		c.env = append(c.env, "LATCHKEY_SECRET="+secret, "LATCHKEY_LOG_FORMAT=json", "LATCHKEY_DATABASE_URL="+withPassword(t, c.db.URL, s.random("the database's password")))
		c.openRedis()
	}
	path := must(binary())
	var err error
	if c.server, err = start(path, c.env, c.screen); err != nil {
		t.Fatalf("%v\n%s", err, c.server.log)
	}
	t.Cleanup(c.server.kill)
	if engine == "sqlite" {
		c.db = storetest.Open(cleaner{t}, filepath.Join(c.dir, "latchkey.db"))
		secret = strings.TrimSpace(string(must(os.ReadFile(filepath.Join(c.dir, "secret")))))
	}
	c.addMaster("the master secret", secret)
	c.master = must(must(token.ParseMaster(secret)).With(must(token.ParseMaster(other))))
	return c
}

func (c *canaries) addMaster(name, text string) {
	c.add(name, must(base64.StdEncoding.DecodeString(text)))
}

// cleaner is a storetest.Fatal of a *testing.T.
type cleaner struct{ *testing.T }

func (c cleaner) Defer(f func()) { c.Cleanup(f) }

func withPassword(t *testing.T, text, password string) string {
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// openRedis makes a Redis user with a password.
func (c *canaries) openRedis() {
	shared := os.Getenv("LATCHKEY_TEST_REDIS_URL")
	if shared == "" {
		return
	}
	c.redis = redis.NewClient(must(redis.ParseURL(shared)))
	name, password := "canary-"+c.agent, c.random("Redis' password")
	if err := c.redis.Do(c.t.Context(), "ACL", "SETUSER", name, "on", ">"+password, "~*", "+@all").Err(); err != nil {
		c.t.Fatal(err)
	}
	u := must(url.Parse(shared))
	u.User = url.UserPassword(name, password)
	c.env = append(c.env, "LATCHKEY_REDIS_URL="+u.String())
	c.t.Cleanup(func() {
		c.redis.Do(c.t.Context(), "ACL", "DELUSER", name)
		_ = c.redis.Close()
	})
}

// post sends a JSON body as a client and looks through the answer.
func (c *canaries) post(who *client, what, body string, header ...string) answer {
	return c.send(who, what, http.MethodPost, "/graphql", body, append([]string{"Content-Type: application/json"}, header...)...)
}

func (c *canaries) send(who *client, what, method, path, body string, header ...string) answer {
	c.t.Helper()
	h := http.Header{"User-Agent": {c.agent}}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		h[name] = append(h[name], value)
	}
	a, err := who.send(method, c.server.url+path, h, body)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	if m := accessInBody.FindSubmatch(a.body); m != nil {
		who.access = string(m[1])
	}
	c.answered(what, a, strings.Contains(body, "BODY") || strings.Contains(body, "refreshToken:"))
	return a
}

// expect sends a body and checks the answer's code, so that a canary is where it is thought to be.
func (c *canaries) expect(code string, who *client, what, body string, header ...string) answer {
	c.t.Helper()
	a := c.post(who, what, body, header...)
	if got := strings.Join(a.codes(), " "); got != code {
		c.t.Errorf("%s: %q, not %q: %s", what, got, code, a.body)
	}
	return a
}

// password makes one that is long enough for the settings; random's are too short.
func (c *canaries) password(name string) string { return c.random(name) + ` with "words" behind it` }

// quoted is a text as it stands in a JSON string.
func quoted(text string) string { return strings.Trim(strconv.Quote(text), `"`) }

func newClient() *client { return &client{cookies: map[string]string{}} }

// command runs latchkey with a text on standard input.
func (c *canaries) command(stdin string, args ...string) {
	cmd := exec.CommandContext(c.t.Context(), must(binary()), args...)
	cmd.Env, cmd.Stdin = c.env, strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	if out.Len() == 0 {
		c.t.Errorf("%v says nothing", args)
	}
	c.look("command "+strings.Join(args[:2], " "), out.String())
}

func (c *canaries) commands() {
	password := c.password("a password for user create")
	for _, email := range []string{"carol@example.com", "carol@example.com", "not an address"} {
		c.command(password+"\n", "user", "create", email)
	}
	c.command(c.random("a short password for user create"), "user", "create", "dan@example.com")
	c.command(c.random("a long password for user create")+strings.Repeat("x", 5000), "user", "create", "dan@example.com")
	c.command("x", "user", "create", "dan@example.com", "--password="+c.random("a password as a flag"))
	c.command("x", "user", "create", "dan@example.com", c.random("a password as an argument"))
	for _, args := range [][]string{{"user", "list"}, {"keys", "list"}, {"keys", "rotate"}, {"keys", "reseal"}, {"migrate", "status"}} {
		c.command("", args...)
	}
}

// failures make the server's own errors: tables that are gone, a database that is away.
func (c *canaries) failures() {
	signIn := func(field, name, when string) string {
		return fmt.Sprintf(`{"query":"mutation($p: String!) { %s(input: {email: \"%s@example.com\", password: $p}) { accessToken } }","variables":{"p":"%s"}}`,
			field, name, quoted(c.password("a password for "+field+", "+when)))
	}
	ada := newClient()
	c.expect("", ada, "sign-up before the failures", signIn("signUp", "fay", "before the failures"))
	// A browser goes on with what it has: an outage signs nobody out.
	fail := func(when string, fields ...string) {
		c.t.Helper()
		for _, field := range fields {
			body := `{"query":"mutation { ` + field + ` }"}`
			switch field {
			case "signUp", "login":
				body = signIn(field, "gus", when) // ada may not guess any more
			case "me { id }":
				body = `{"query":"{ me { id } }"}`
			}
			c.expect("INTERNAL", ada, field+", "+when, body)
		}
		c.send(ada, "readyz, "+when, http.MethodGet, "/readyz", "")
	}
	refresh, without := "refresh { accessToken }", func(table string, fields ...string) {
		c.db.Exec(c.t, "ALTER TABLE "+table+" RENAME TO gone")
		fail("without "+table, fields...)
		c.db.Exec(c.t, "ALTER TABLE gone RENAME TO "+table)
	}
	without("users", refresh, "me { id }", "signUp", "login")
	without("sessions", refresh, "revokeAll", "logout")
	if c.engine == "postgres" {
		restore := c.cutOff()
		fail("without a database", refresh, "me { id }", "signUp", "login", "revokeAll", "logout")
		restore()
	}
}

// database is the name of the one in Postgres.
func (c *canaries) database() string { return strings.TrimPrefix(must(url.Parse(c.db.URL)).Path, "/") }

// cutOff lets nobody into the database until restore is called.
func (c *canaries) cutOff() (restore func()) {
	server := must(sql.Open("pgx", os.Getenv(storetest.PostgresVariable)))
	name := c.database()
	run := func(statement string) {
		c.t.Helper()
		if _, err := server.ExecContext(c.t.Context(), statement); err != nil {
			c.t.Fatal(err)
		}
	}
	run("ALTER DATABASE " + name + " ALLOW_CONNECTIONS false")
	run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latchkey' AND datname = '" + name + "'")
	return func() {
		run("ALTER DATABASE " + name + " ALLOW_CONNECTIONS true")
		_ = server.Close()
	}
}

// failingStarts collects what a server says that does not start.
func (c *canaries) failingStarts() {
	if c.engine == "sqlite" {
		return
	}
	url := func(replace, by string) string {
		return "LATCHKEY_DATABASE_URL=" + strings.Replace(withPassword(c.t, c.db.URL, c.random("a password in a start")), replace, by, 1)
	}
	for what, setting := range map[string]string{
		"a closed port":         url("127.0.0.1", "127.0.0.2"),
		"no such database":      url("/t_", "/none_"),
		"no such role":          url("postgres:", "nobody:"),
		"no TLS":                url("sslmode=disable", "sslmode=verify-full"),
		"a port that is none":   url("127.0.0.1:", "127.0.0.1:x"),
		"another database":      url("LATCHKEY", "LATCHKEY") + "&pool_max_conns=x",
		"Redis for Postgres":    "LATCHKEY_DATABASE_URL=redis://:" + c.random("Redis for Postgres") + "@localhost",
		"Postgres for Redis":    strings.Replace(url("", ""), "DATABASE_URL", "REDIS_URL", 1),
		"Postgres for a page":   strings.Replace(url("", ""), "DATABASE_URL", "PUBLIC_URL", 1),
		"a secret that is text": "LATCHKEY_SECRET=" + c.random("a secret that is text"),
		"a secret as file":      "LATCHKEY_SECRET_OTHER_FILE=/" + token.GenerateMaster().Reveal(),
		"another secret":        "LATCHKEY_SECRET=" + token.GenerateMaster().Reveal(),
	} {
		if _, secret, _ := strings.Cut(setting, "="); strings.Contains(setting, "_SECRET") && len(secret) > 40 {
			c.add("the secret of "+what, []byte(strings.TrimPrefix(secret, "/")))
		}
		screen := &lockedBuffer{}
		p, err := start(must(binary()), append(slices.Clone(c.env), setting), screen)
		if err == nil {
			p.kill()
			c.t.Errorf("%s: it starts", what)
		}
		c.look("start with "+what, p.log.String()+screen.String())
	}
}

// sweepAll looks through everything that there is.
func (c *canaries) sweepAll() {
	c.learnStored(c.db, c.master)
	if err := c.server.signal(os.Interrupt); err != nil {
		c.t.Error(err)
	}
	c.look("log", c.server.log.String())
	c.look("screen", c.screen.String())
	c.lookAtStored(c.db, c.dir)
	if c.redis != nil {
		keys := must(c.redis.Keys(c.t.Context(), "*").Result())
		for _, key := range keys {
			value, _ := c.redis.Dump(c.t.Context(), key).Result()
			c.look("Redis", key+"\n"+value)
		}
		if len(keys) == 0 {
			c.t.Error("Redis holds nothing: the limits were counted elsewhere")
		}
	}
	if c.engine == "postgres" && c.db.Text(c.t, "SELECT count(*) FROM rate_limits") == "0" {
		c.t.Error("the table of limits holds nothing: they were counted elsewhere")
	}
	if lines := strings.Count(c.server.log.String(), "\n"); lines < 150 {
		c.t.Errorf("the log has only %d lines", lines)
	}
	for _, leak := range c.leaks() {
		c.t.Error(leak)
	}
}
