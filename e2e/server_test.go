package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/internal/store/storetest"
)

// TestScenarios plays testdata/*.txtar against the built server, on each engine. The commands
// that the scenarios use are explained in testdata/README.md.
func TestScenarios(t *testing.T) {
	for _, engine := range storetest.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Dir:                 "testdata",
				RequireExplicitExec: true,
				RequireUniqueNames:  true,
				Condition: func(c string) (bool, error) {
					if name, ok := strings.CutPrefix(c, "env:"); ok {
						return name == engine, nil
					}
					return false, fmt.Errorf("unknown condition %q", c)
				},
				Setup: func(env *testscript.Env) error { return setup(t, env, engine) },
				Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
					"server": cmdServer, "halt": cmdHalt, "gql": cmdGQL, "http": cmdHTTP,
					"code": cmdCode, "header": cmdHeader, "status": cmdStatus, "cookie": cmdCookie,
					"steal": cmdSteal, "age": cmdAge, "sql": cmdSQL, "log": cmdLog, "keep": cmdKeep,
					"subscribe": cmdSubscribe, "events": cmdEvents, "capture": cmdCapture,
					"answer": cmdAnswer,
				},
			})
		})
	}
}

// binaryDir is where build puts what it has built.
var binaryDir string

var (
	// binary builds the server once, with the race detector if the tests have it.
	binary = sync.OnceValues(func() (string, error) {
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				if s.Key == "-race" && s.Value == "true" {
					return build("-race")
				}
			}
		}
		return plainBinary()
	})
	// plainBinary builds it once as it is released: for what the race detector would drown.
	plainBinary = sync.OnceValues(func() (string, error) { return build() })
)

func build(flags ...string) (string, error) {
	// Go's test cache sees what a test opens, not what it builds: look at every source, or a
	// change would pass as "(cached)".
	err := filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if err == nil {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(binaryDir, "")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "latchkey") // the name by which scenarios call it
	out, err := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

func TestMain(m *testing.M) {
	// Everything here is about the whole: paths count from the module's root.
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	announce()
	var err error
	if binaryDir, err = os.MkdirTemp("", "latchkey-test-"); err != nil {
		panic(err)
	}
	status := m.Run()
	_ = os.RemoveAll(binaryDir)
	os.Exit(status)
}

// announce says in one line what a plain `go test ./...` leaves out.
func announce() {
	var missing []string
	for name, variable := range map[string]string{"Postgres": storetest.PostgresVariable, "Redis": "LATCHKEY_TEST_REDIS_URL", "browser": browserVariable} {
		if os.Getenv(variable) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return
	}
	slices.Sort(missing)
	line := "left out: tests with " + strings.Join(missing, ", ") + " (make test runs them all)\n"
	_, _ = io.WriteString(goCommand(), line)
}

// goCommand is the standard error of the go command that runs us: `go test ./...` hides what a
// passing package prints. A file is left alone, because two would write over each other in it.
func goCommand() io.Writer {
	out, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", os.Getppid()), os.O_WRONLY, 0)
	if err != nil {
		return os.Stderr
	}
	if info, err := out.Stat(); err != nil || info.Mode().IsRegular() {
		return os.Stderr
	}
	return out
}

// testscript's own stop ends a scenario in the middle, as passed; it wins over a command of
// ours with that name.
func TestScenariosRunToTheirEnd(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^(\[.*\] *)?(! )?(stop|skip)\b`).Match(content) {
			t.Errorf("%s ends before its end", file)
		}
	}
}

// world is what one scenario has running.
type world struct {
	db      *storetest.Database
	servers map[string]*process
	clients map[string]*client
	streams map[string]*events // by client
	last    answer
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func setup(t *testing.T, env *testscript.Env, engine string) error {
	path, err := binary()
	if err != nil {
		return err
	}
	w := &world{servers: map[string]*process{}, clients: map[string]*client{}, streams: map[string]*events{}}
	env.Values[worldKey{}] = w
	dataDir := filepath.Join(env.WorkDir, "data")
	env.Setenv("PATH", filepath.Dir(path)+string(os.PathListSeparator)+os.Getenv("PATH"))
	env.Setenv("ENGINE", engine)
	env.Setenv("LATCHKEY_DATA_DIR", dataDir)
	env.Setenv("LATCHKEY_ADDR", "127.0.0.1:0")
	// The port changes with every start; what tokens say must not.
	env.Setenv("LATCHKEY_PUBLIC_URL", "http://localhost:8080")
	if engine == "postgres" {
		w.db = storetest.Empty(t, engine)
		env.Setenv("LATCHKEY_DATABASE_URL", w.db.URL)
	}
	env.Defer(func() {
		for _, e := range w.streams {
			e.leave()
		}
		for _, p := range w.servers {
			p.kill()
		}
	})
	return nil
}

// database answers the scenario's database, for what a scenario does behind the server's back.
func (w *world) database(ts *testscript.TestScript) *storetest.Database {
	if w.db == nil {
		w.db = storetest.Open(ts, filepath.Join(ts.Getenv("LATCHKEY_DATA_DIR"), "latchkey.db"))
	}
	return w.db
}

// process is one running server.
type process struct {
	cmd  *exec.Cmd
	url  string
	log  *lockedBuffer
	done chan struct{}
	err  error
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var listening = regexp.MustCompile(`Listening +(\S+)`)

// start runs the server until it has printed where it listens, or has ended.
func start(path string, env []string, screen io.Writer) (*process, error) {
	p := &process{cmd: exec.Command(path), log: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = env, p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	for p.url == "" && lines.Scan() {
		fmt.Fprintln(screen, lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			p.url = "http://" + m[1]
		}
	}
	rest := make(chan struct{})
	go func() {
		for lines.Scan() {
			fmt.Fprintln(p.log, lines.Text())
		}
		close(rest)
	}()
	go func() {
		<-rest
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if p.url == "" {
		<-p.done
		return p, errors.New("the server did not start")
	}
	return p, nil
}

func (p *process) signal(s os.Signal) error {
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.done:
		return p.err
	case <-time.After(20 * time.Second):
		p.kill()
		return errors.New("the server did not stop")
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// client is a browser or an app: it keeps cookies and the access token that it was last given.
type client struct {
	cookies map[string]string
	access  string
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (w *world) client(name string) *client {
	if w.clients[name] == nil {
		w.clients[name] = &client{cookies: map[string]string{}}
	}
	return w.clients[name]
}

// send makes one request as a client.
func (c *client) send(method, url string, header http.Header, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header = header
	for name, value := range c.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if c.access != "" && header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+c.access)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	for _, cookie := range resp.Cookies() {
		if cookie.MaxAge < 0 {
			delete(c.cookies, cookie.Name)
		} else {
			c.cookies[cookie.Name] = cookie.Value
		}
	}
	return answer{resp.StatusCode, resp.Header, text}, err
}

// gql runs a document and keeps the access token of its answer.
func (c *client) gql(url, document string, variables map[string]any) (answer, error) {
	body, err := json.Marshal(map[string]any{"query": document, "variables": variables})
	if err != nil {
		return answer{}, err
	}
	a, err := c.send(http.MethodPost, url+"/graphql", http.Header{"Content-Type": {"application/json"}}, string(body))
	if m := regexp.MustCompile(`"accessToken":"([^"]+)"`).FindSubmatch(a.body); m != nil {
		c.access = string(m[1])
	}
	return a, err
}

// codes lists "CODE" or "CODE reason" of each error of an answer.
func (a answer) codes() []string {
	var body struct {
		Errors []struct {
			Extensions struct{ Code, Reason string }
		}
	}
	_ = json.Unmarshal(a.body, &body)
	var out []string
	for _, e := range body.Errors {
		out = append(out, strings.TrimSpace(e.Extensions.Code+" "+e.Extensions.Reason))
	}
	return out
}

func (a answer) print(ts *testscript.TestScript) {
	fmt.Fprintf(ts.Stdout(), "%s\n", bytes.TrimSpace(a.body))
}

func atoi(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}
