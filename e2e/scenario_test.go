package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The commands of testdata/*.txtar; testdata/README.md is their manual.

// server [NAME] [KEY=VALUE]…
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	w, name := worldOf(ts), "default"
	if len(args) > 0 && !strings.Contains(args[0], "=") {
		name, args = args[0], args[1:]
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("WORK")}
	for _, key := range []string{"LATCHKEY_DATA_DIR", "LATCHKEY_ADDR", "LATCHKEY_PUBLIC_URL", "LATCHKEY_DATABASE_URL"} {
		if value := ts.Getenv(key); value != "" {
			env = append(env, key+"="+value)
		}
	}
	path, err := binary()
	ts.Check(err)
	p, err := start(path, append(env, args...), ts.Stdout())
	if neg {
		if err == nil {
			p.kill()
			ts.Fatalf("the server started")
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 1 {
			ts.Fatalf("exit code %d, not 1", code)
		}
		_, _ = ts.Stderr().Write([]byte(p.log.String()))
		return
	}
	if err != nil {
		ts.Fatalf("%v:\n%s", err, p.log)
	}
	w.servers[name] = p
	ts.Setenv("URL", p.url)
	ts.Setenv("HOSTPORT", strings.TrimPrefix(p.url, "http://"))
}

// halt [NAME] [SIGNAL]
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	name, signal := "default", "TERM"
	for _, arg := range args {
		if arg == strings.ToUpper(arg) {
			signal = arg
		} else {
			name = arg
		}
	}
	p := worldOf(ts).servers[name]
	if p == nil || neg {
		ts.Fatalf("no server %s", name)
	}
	s := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[signal]
	if err := p.signal(s); err != nil && signal != "KILL" {
		ts.Fatalf("the server did not end well: %v\n%s", err, p.log)
	}
}

// gql [-until CODE] [-server NAME] CLIENT DOCUMENT [VARIABLE=VALUE]…
func cmdGQL(ts *testscript.TestScript, neg bool, args []string) {
	w, until, url := worldOf(ts), "", ts.Getenv("URL")
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-until":
			until = args[1]
		case "-server":
			url = w.servers[args[1]].url
		}
		args = args[2:]
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: gql [-until CODE] [-server NAME] CLIENT DOCUMENT [VARIABLE=VALUE]…")
	}
	variables := map[string]any{}
	for _, pair := range args[2:] {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
		if strings.HasPrefix(value, "{") {
			var object any
			ts.Check(json.Unmarshal([]byte(value), &object))
			variables[name] = object
		}
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		var err error
		w.last, err = w.client(args[0]).gql(url, args[1], variables)
		ts.Check(err)
		if until == "" || slices.ContainsFunc(w.last.codes(), func(c string) bool { return strings.HasPrefix(c, until) }) {
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %s within 15 s: %s", until, w.last.body)
		}
		time.Sleep(50 * time.Millisecond) // between two looks, not instead of one
	}
	w.last.print(ts)
}

// http METHOD PATH [Header:value]… [BODY]
func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: http METHOD PATH [Header:value]… [BODY]")
	}
	w, header, body := worldOf(ts), http.Header{}, ""
	isHeader := regexp.MustCompile(`^[A-Za-z-]+:`)
	for _, arg := range args[2:] {
		if name, value, _ := strings.Cut(arg, ":"); isHeader.MatchString(arg) {
			header.Add(name, value)
		} else {
			body = arg
		}
	}
	var err error
	w.last, err = (&client{cookies: map[string]string{}}).send(args[0], ts.Getenv("URL")+args[1], header, body)
	ts.Check(err)
	w.last.print(ts)
}

// subscribe [-server NAME] CLIENT DOCUMENT
func cmdSubscribe(ts *testscript.TestScript, neg bool, args []string) {
	w, url := worldOf(ts), ts.Getenv("URL")
	if len(args) == 4 && args[0] == "-server" {
		url, args = w.servers[args[1]].url, args[2:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: subscribe [-server NAME] CLIENT DOCUMENT")
	}
	e, err := w.client(args[0]).subscribe(url, args[1])
	ts.Check(err)
	if before := w.streams[args[0]]; before != nil {
		before.leave()
	}
	w.streams[args[0]], w.last = e, answer{status: e.status, header: e.header}
}

// events [-over] CLIENT REGEXP
func cmdEvents(ts *testscript.TestScript, neg bool, args []string) {
	over := len(args) == 3 && args[0] == "-over"
	if over {
		args = args[1:]
	}
	if neg || len(args) != 2 || worldOf(ts).streams[args[0]] == nil {
		ts.Fatalf("usage: events [-over] CLIENT REGEXP, after subscribe")
	}
	text, err := worldOf(ts).streams[args[0]].wait(regexp.MustCompile(args[1]), over)
	if err != nil {
		ts.Fatalf("%v: %q", err, text)
	}
	_, _ = ts.Stdout().Write([]byte(text))
}

// code [CODE [REASON]]
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	codes := worldOf(ts).last.codes()
	want := strings.Join(args, " ")
	if neg && want == "" {
		ts.Fatalf("usage: code [CODE [REASON]]")
	}
	switch {
	case want == "" && len(codes) > 0:
		ts.Fatalf("there are errors: %v", codes)
	case want != "" && neg == slices.Contains(codes, want):
		ts.Fatalf("errors %q", codes)
	}
}

// status NUMBER
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if got := worldOf(ts).last.status; neg == (got == atoi(ts, args[0])) {
		ts.Fatalf("status %d", got)
	}
}

// answer
func cmdAnswer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: answer")
	}
	last := worldOf(ts).last
	header := last.header.Clone()
	header.Del("Date")
	header.Del("X-Request-Id")
	fmt.Fprintln(ts.Stdout(), last.status)
	ts.Check(header.Write(ts.Stdout()))
	last.print(ts)
}

// header REGEXP
func cmdHeader(ts *testscript.TestScript, neg bool, args []string) {
	var lines strings.Builder
	ts.Check(worldOf(ts).last.header.Write(&lines))
	if neg == regexp.MustCompile(`(?mi)`+args[0]).MatchString(strings.ReplaceAll(lines.String(), "\r", "")) {
		ts.Fatalf("header:\n%s", lines.String())
	}
}

// cookie CLIENT NAME [VARIABLE]
func cmdCookie(ts *testscript.TestScript, neg bool, args []string) {
	value, has := worldOf(ts).client(args[0]).cookies[args[1]]
	if neg == has {
		ts.Fatalf("cookie %s of %s: %v", args[1], args[0], has)
	}
	if len(args) > 2 {
		ts.Setenv(args[2], value)
	}
}

// keep CLIENT VARIABLE: the access token
func cmdKeep(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[1], worldOf(ts).client(args[0]).access)
}

// capture VARIABLE REGEXP
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VARIABLE REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindSubmatch(worldOf(ts).last.body)
	if len(found) != 2 {
		ts.Fatalf("%q has not one group in %s", args[1], worldOf(ts).last.body)
	}
	ts.Setenv(args[0], string(found[1]))
}

// steal FROM TO
func cmdSteal(ts *testscript.TestScript, _ bool, args []string) {
	from, to := worldOf(ts).client(args[0]), worldOf(ts).client(args[1])
	to.access = from.access
	for name, value := range from.cookies {
		to.cookies[name] = value
	}
}

// age DURATION
func cmdAge(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	ts.Check(worldOf(ts).database(ts).MakeOlder(d))
}

// sql [-until REGEXP] STATEMENT
func cmdSQL(ts *testscript.TestScript, _ bool, args []string) {
	until := regexp.MustCompile("")
	if args[0] == "-until" {
		until, args = regexp.MustCompile("(?m)"+args[1]), args[2:]
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		out, err := worldOf(ts).database(ts).Query(args[0])
		ts.Check(err)
		if until.MatchString(out) {
			_, _ = ts.Stdout().Write([]byte(out))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not within 15 s: %s", out)
		}
		time.Sleep(50 * time.Millisecond) // between two looks, not instead of one
	}
}

// log REGEXP
func cmdLog(ts *testscript.TestScript, neg bool, args []string) {
	pattern, text := regexp.MustCompile(args[0]), ""
	for range 40 {
		text = ""
		for _, p := range worldOf(ts).servers {
			text += p.log.String()
		}
		if found := pattern.MatchString(text); found != neg {
			return
		}
		if neg {
			break
		}
		time.Sleep(50 * time.Millisecond) // the line is written after the answer
	}
	ts.Fatalf("log:\n%s", text)
}
