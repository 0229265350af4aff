package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The rules of ARCHITECTURE.md. An exception is a line in the table of its rule, with the
// reason; an exception that nothing needs any more is a violation too.

// archRule answers what violates it. The files in breaks do, and are noticed: so a rule cannot
// fall asleep.
type archRule struct {
	check  func(archTree) []string
	breaks []archBreak
}

type archBreak struct{ path, text string } // takes the place of the file at path

func TestArchitecture(t *testing.T) {
	tree := readArchTree(t)
	for _, group := range []map[string]archRule{importRules(), sizeRules(), codeRules(), publicRules(), schemaRules()} {
		for reason, rule := range group {
			t.Run(reason, func(t *testing.T) {
				found := rule.check(tree)
				for _, violation := range found {
					t.Error(violation)
				}
				for _, b := range rule.breaks {
					isNew := func(v string) bool { return !slices.Contains(found, v) }
					if !slices.ContainsFunc(rule.check(tree.with(t, b)), isNew) {
						t.Errorf("goes unnoticed in %s: %.200s", b.path, b.text)
					}
				}
			})
		}
	}
}

// --- Who may import whom -----------------------------------------------------------

const (
	leafDirs   = "internal/user internal/password internal/token internal/ratelimit internal/input internal/event"
	flowDirs   = "internal/signup internal/login internal/profile"
	sessionDir = "internal/session"
	domainDirs = leafDirs + " " + sessionDir + " " + flowDirs
)

// layers says for each package what it may import of Latchkey.
func layers() map[string]struct{ who, may string } {
	return map[string]struct{ who, may string }{
		"a leaf imports nothing":                        {leafDirs, ""},
		"embedded files and generated types need none":  {"migrations internal/web graph/model", ""},
		"a session stands on leaves":                    {sessionDir, leafDirs},
		"no flow imports a flow, only what is below":    {flowDirs, leafDirs + " " + sessionDir},
		"one request, as the transport knows it":        {"internal/reqctx", sessionDir + " internal/token"},
		"HTTP knows requests, sessions and tokens":      {"internal/httpserver", "internal/reqctx " + sessionDir + " internal/token internal/ratelimit"},
		"GraphQL calls flows and imports no adapter":    {"graph", "graph/model internal/reqctx " + domainDirs},
		"the store serves the domain, and no adapter":   {"internal/store", "migrations " + domainDirs},
		"settings are the leaves' own types":            {"internal/config", leafDirs},
		"what lies on disk holds the master secret":     {"internal/datadir", "internal/token"},
		"a test database is the store with domain data": {"internal/store/storetest", "internal/store " + domainDirs},
		"a test of the whole may use any of it":         {"e2e", "graph internal/httpserver " + domainDirs},
		"main wires what there is": {".", "graph internal/config internal/datadir internal/httpserver internal/reqctx " +
			"internal/store internal/web " + domainDirs},
	}
}

func checkImports(tree archTree) (out []string) {
	may, why := map[string][]string{}, map[string]string{}
	for reason, layer := range layers() {
		for _, dir := range strings.Fields(layer.who) {
			may[dir], why[dir] = append(strings.Fields(layer.may), dir), reason
		}
	}
	for _, f := range tree.files {
		allowed, known := slices.Clone(may[f.dir]), why[f.dir] != ""
		if !known && !strings.HasPrefix(f.dir, "examples/") { // they import nothing, like any user
			out = append(out, f.dir+": say in layers what it may import, and in ARCHITECTURE.md what it is for")
		}
		if f.test {
			allowed = append(allowed, "internal/store/storetest")
		}
		if f.test && !slices.Contains(strings.Fields(domainDirs), f.dir) { // an adapter's needs values
			allowed = append(allowed, strings.Fields(domainDirs)...)
		}
		for _, imported := range f.imports() {
			if dir, ours := strings.CutPrefix(imported, "latchkey/"); (ours && !slices.Contains(allowed, dir)) || imported == "latchkey" {
				out = append(out, f.path+" imports "+imported+": "+why[f.dir])
			}
		}
	}
	return out
}

// libraries says who may use what would otherwise spread.
func libraries() map[string]string {
	return map[string]string{
		"github.com/uptrace/bun":         "internal/store",
		"database/sql":                   "internal/store internal/store/storetest",
		"github.com/jackc/pgx/v5":        "internal/store internal/store/storetest internal/config", // config reads the URL
		"github.com/99designs/gqlgen":    "graph graph/model",
		"github.com/vektah/gqlparser/v2": "graph",
		"net/http":                       "graph internal/httpserver internal/web .",
		"github.com/golang-jwt/jwt/v5":   "internal/token",
		"golang.org/x/crypto":            "internal/password",
		"github.com/redis/go-redis/v9":   "internal/ratelimit internal/config", // config reads the URL
		"github.com/alecthomas/kong":     "internal/config",
	}
}

func checkLibraries(tree archTree) (out []string) {
	for _, f := range tree.files {
		for _, imported := range f.imports() {
			for library, users := range libraries() {
				isBun := library == "github.com/uptrace/bun" // tests go through the store as well
				if within(imported, library) && (!f.test || isBun) && !slices.Contains(strings.Fields(users), f.dir) {
					out = append(out, f.path+" imports "+imported)
				}
			}
		}
	}
	return out
}

// checkReach follows imports inside the module only: go-redis and golang-jwt import net/http
// for themselves.
func checkReach(tree archTree) (out []string) {
	imports := map[string][]string{}
	for _, f := range tree.files {
		if !f.test {
			imports[f.dir] = append(imports[f.dir], f.imports()...)
		}
	}
	for _, start := range strings.Fields(domainDirs) {
		seen := map[string]bool{start: true}
		for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
			for _, imported := range imports[queue[0]] {
				for _, far := range []string{"net/http", "github.com/uptrace/bun", "github.com/99designs/gqlgen"} {
					way := start + " reaches " + far + " by " + queue[0]
					if within(imported, far) && !slices.Contains(out, way) {
						out = append(out, way)
					}
				}
				if dir, ours := strings.CutPrefix(imported, "latchkey/"); ours && !seen[dir] {
					seen[dir] = true
					queue = append(queue, dir)
				}
			}
		}
	}
	return out
}

func importRules() map[string]archRule {
	return map[string]archRule{
		"imports follow the diagram": {checkImports, []archBreak{
			{"internal/user/x.go", `package user; import _ "latchkey/internal/token"`},
			{"internal/session/x.go", `package session; import _ "latchkey/internal/login"`},
			{"internal/signup/x.go", `package signup; import _ "latchkey/internal/login"`},
			{"internal/login/x.go", `package login; import _ "latchkey/internal/signup"`},
			{"internal/reqctx/x.go", `package reqctx; import _ "latchkey/internal/login"`},
			{"internal/httpserver/x.go", `package httpserver; import _ "latchkey/graph"`},
			{"internal/store/x.go", `package store; import _ "latchkey/internal/reqctx"`},
			{"internal/user/x_test.go", `package user; import _ "latchkey/internal/session"`},
			{"internal/httpserver/x_test.go", `package httpserver; import _ "latchkey/graph"`},
			{"internal/web/x_test.go", `package web; import _ "latchkey/internal/config"`},
			{"graph/x.go", `package graph; import _ "latchkey/internal/store"`},
			{"graph/model/x.go", `package model; import _ "latchkey/internal/user"`},
			{"x.go", `package main; import _ "latchkey/internal/store/storetest"`},
			{"internal/web/x.go", `package web; import _ "latchkey"`}, {"internal/new/x.go", `package new`},
			{"examples/client/x.go", `package main; import _ "latchkey/internal/token"`},
		}},
		"a library stays where it belongs": {checkLibraries, []archBreak{
			{"graph/x.go", `package graph; import _ "github.com/uptrace/bun/schema"`},
			{"internal/session/x_test.go", `package session; import _ "github.com/uptrace/bun"`},
			{"internal/config/x.go", `package config; import _ "net/http"`},
			{"x.go", `package main; import _ "github.com/99designs/gqlgen/graphql"`},
		}},
		"the domain reaches neither HTTP nor Bun nor gqlgen": {checkReach, []archBreak{
			{"internal/user/x.go", `package user; import _ "net/http/cookiejar"`},
			{"internal/session/x.go", `package session; import _ "latchkey/graph/model"`},
			{"internal/event/x.go", `package event; import _ "latchkey/internal/store"`},
		}},
		"one door to a session": {checkDoors, []archBreak{
			{"internal/signup/x.go", `package signup; func f(s *Service) { s.sessions.Start() }`},
			{"graph/x.go", `package graph; func f(r *Resolver) any { return r.sessions.Start }`},
			{"internal/login/x.go", `package login; func f(s *Service) { s.store.CreateSession() }`},
			{"server.go", `package main; func f(i *token.Issuer) { i.Issue() }`},
		}},
	}
}

// checkDoors goes by the name, whatever the receiver: so neither an interface nor a method
// value gets round it. Another method that wants one of these names takes a different one.
func checkDoors(tree archTree) (out []string) {
	doors := map[string]string{"Start": "internal/login", "CreateSession": sessionDir, "Issue": sessionDir}
	for name, dir := range doors {
		tree.eachSelector(name, func(f archFile, where, receiver string) {
			if f.dir != dir {
				out = append(out, fmt.Sprintf("%s: %s.%s is for %s alone", where, receiver, name, dir))
			}
		})
	}
	return out
}

// --- Size --------------------------------------------------------------------------

func sizeRules() map[string]archRule {
	long := func(n int) string { return strings.Repeat("\n", n) }
	return map[string]archRule{
		"a file has under 500 lines": {checkFileSize, []archBreak{
			{"internal/user/x.go", "package user" + long(500)}, {"internal/web/x.mjs", long(500)},
		}},
		"a function has under 80 lines": {functions(func(f archFile, fn *ast.FuncDecl) bool { return f.length(fn) > 79 }), []archBreak{
			{"internal/user/x_test.go", "package user; func f() {" + long(79) + "}"},
		}},
		"a resolver has under 9 lines": {functions(func(f archFile, fn *ast.FuncDecl) bool {
			return f.isResolvers() && f.length(fn) > 8+2 // braces included
		}), []archBreak{
			{"graph/x.resolvers.go", "package graph; func (r *queryResolver) X() {" + long(10) + "}"},
		}},
		"a helper in *.resolvers.go would be commented out by gqlgen": {functions(func(f archFile, fn *ast.FuncDecl) bool {
			return f.isResolvers() && !strings.HasSuffix(receiver(fn), "Resolver")
		}), []archBreak{
			{"graph/x.resolvers.go", "package graph; func help() {}"},
		}},
		"an interface has 1 to 6 methods": {specs(func(_ archFile, _ *ast.GenDecl, spec ast.Spec) bool {
			methods, ok := interfaceOf(spec)
			return ok && (methods < 1 || methods > 6)
		}), []archBreak{
			{"internal/user/x.go", "package user; type Store interface { A(); B(); C(); D(); E(); F(); G() }"},
			{"internal/user/x.go", "package user; type Empty interface{}"},
		}},
		"a constructor has at most five dependencies and a Config": {functions(func(_ archFile, fn *ast.FuncDecl) bool {
			return fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "New") && !isConstructor(fn.Type.Params)
		}), []archBreak{
			{"internal/user/x.go", "package user; func New(a, b, c, d, e, f int) {}"},
			{"internal/user/x.go", "package user; func NewX(a, b, c, d, e, f int, g Config) {}"},
		}},
	}
}

func checkFileSize(tree archTree) (out []string) {
	for name, lines := range tree.lines {
		if lines >= 500 {
			out = append(out, fmt.Sprintf("%s has %d lines", name, lines))
		}
	}
	return out
}

// --- What may stand in a file ------------------------------------------------------

func codeRules() map[string]archRule {
	return map[string]archRule{
		"a package is named after what it knows": {checkPackageNames, []archBreak{
			{"internal/util/x.go", "package util"}, {"internal/user/types/x.go", "package x"},
			{"internal/user/x.go", "package userData"},
		}},
		"a package opens with its promise": {checkPackageDocs, []archBreak{
			{"internal/new/x.go", "package new"}, {"internal/new/x.go", "// Package old is another.\npackage new"},
			{"internal/user/x.go", "// Package user says it again.\npackage user"},
		}},
		"an exported function says what it does": {functions(func(f archFile, fn *ast.FuncDecl) bool {
			ours := receiver(fn) == "" || ast.IsExported(receiver(fn))
			return ours && fn.Name.IsExported() && fn.Doc == nil && !f.test && !f.isResolvers()
		}), []archBreak{
			{"internal/user/x.go", "package user; func X() {}"},
			{"internal/user/x.go", "package user; func (u *User) X() {}"},
		}},
		"an exported type says what it is": {specs(func(f archFile, decl *ast.GenDecl, spec ast.Spec) bool {
			s, ok := spec.(*ast.TypeSpec)
			return ok && s.Name.IsExported() && !f.test && comments(decl.Doc, s.Doc) == ""
		}), []archBreak{
			{"internal/user/x.go", "package user; type X int"}, {"internal/user/x.go", "package user; type (X int; Y int)"},
		}},
		"nothing is global": {checkGlobals, []archBreak{
			{"internal/user/x.go", "package user; var cache = map[string]string{}"},
			{"internal/user/x.go", "package user; func init() {}"},
			{"internal/user/x.go", "package user; var _ = register()"},
			{"internal/user/x.go", "package user; var ErrX = other()"},
			{"internal/web/web.go", "package web"}, // types is gone, its exception is not
		}},
		"the store speaks of facts and acts": {functions(func(f archFile, fn *ast.FuncDecl) bool {
			return f.dir == "internal/store" && regexp.MustCompile(`^(Get|Find|Fetch|Select)[A-Z]`).MatchString(fn.Name.Name)
		}), []archBreak{
			{"internal/store/x.go", "package store; func (db *DB) GetUser() {}"},
			{"internal/store/x.go", "package store; func (db *DB) FindUser() {}"},
		}},
	}
}

func checkPackageNames(tree archTree) (out []string) {
	saysNothing := regexp.MustCompile(`^(utils?|commons?|helpers?|base|models|types|managers?|services?|providers?)$|[^a-z0-9]`)
	for _, f := range tree.files {
		name := strings.TrimSuffix(f.syntax.Name.Name, "_test")
		if saysNothing.MatchString(name) || (f.dir != "." && saysNothing.MatchString(path.Base(f.dir))) {
			out = append(out, f.path+": package "+name)
		}
	}
	return out
}

func checkPackageDocs(tree archTree) (out []string) {
	docs := map[string]int{}
	for _, f := range tree.files {
		if f.test || f.dir == "graph/model" { // all of it is generated
			continue
		}
		docs[f.dir] += 0
		if f.syntax.Doc == nil {
			continue
		}
		docs[f.dir]++
		if !strings.HasPrefix(f.syntax.Doc.Text(), f.opening()) {
			out = append(out, fmt.Sprintf("%s: the package comment does not open with %q", f.path, f.opening()))
		}
	}
	for dir, n := range docs {
		if n != 1 {
			out = append(out, fmt.Sprintf("%s has %d package comments", dir, n))
		}
	}
	return out
}

func checkGlobals(tree archTree) []string {
	allowed := exceptions{
		"graph table":                    "the error table",
		"internal/ratelimit policies":    "the table of buckets, never written",
		"internal/web types":             "content types by extension, never written",
		"internal/password base64Strict": "an immutable encoding",
	}
	var found []string
	tree.eachFunc(func(f archFile, fn *ast.FuncDecl) {
		if fn.Name.Name == "init" && fn.Recv == nil {
			found = append(found, f.dir+" init")
		}
	})
	tree.eachSpec(func(f archFile, decl *ast.GenDecl, spec ast.Spec) {
		s, ok := spec.(*ast.ValueSpec)
		if !ok || decl.Tok != token.VAR || f.test || strings.Contains(comments(decl.Doc, s.Doc), "//go:embed ") {
			return
		}
		for i, name := range s.Names {
			made := ""
			if len(s.Values) > i {
				made, _, _ = strings.Cut(types.ExprString(s.Values[i]), "(")
			}
			switch {
			case name.Name == "_" && s.Type != nil: // a compile-time assertion
			case isErrName(name.Name) && (made == "errors.New" || made == "fmt.Errorf"):
			case made == "regexp.MustCompile":
			default:
				found = append(found, f.dir+" "+name.Name)
			}
		}
	})
	return allowed.compare(found, "is global")
}
