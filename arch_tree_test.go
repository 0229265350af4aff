package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	schema "github.com/vektah/gqlparser/v2/ast"
)

// archTree is what people wrote, as arch_test.go reads it. Parsing is enough: no rule needs
// types, and so all build tags are read, and nothing is built.
type archTree struct {
	fset   *token.FileSet
	files  []archFile                // Go
	text   map[string]string         // of every file by its path
	lines  map[string]int            // of every file by its path; not of generated ones
	schema map[string]*schema.Source // *.graphqls by path
}

type archFile struct {
	path, dir       string // from the module's root, "." for package main
	test, generated bool
	syntax          *ast.File
	fset            *token.FileSet
}

func emptyArchTree() archTree {
	return archTree{fset: token.NewFileSet(), text: map[string]string{}, lines: map[string]int{}, schema: map[string]*schema.Source{}}
}

func readArchTree(t *testing.T) archTree {
	t.Helper()
	tree := emptyArchTree()
	root := os.DirFS(".")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() && handwritten(name) {
			text, err := fs.ReadFile(root, name)
			tree.add(t, name, string(text))
			return err
		}
		_, noModule := fs.Stat(root, name+"/go.mod") // an example may be a module of its own
		skipped := slices.Contains([]string{"node_modules", "dist", "fuzz"}, entry.Name())
		if entry.IsDir() && name != "." && (skipped || entry.Name()[0] == '.' || noModule == nil) {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// with is the tree with one file more, or another.
func (tree archTree) with(t *testing.T, b archBreak) archTree {
	t.Helper()
	out := archTree{fset: tree.fset, text: maps.Clone(tree.text), lines: maps.Clone(tree.lines), schema: maps.Clone(tree.schema)}
	for _, f := range tree.files {
		if f.path != b.path {
			out.files = append(out.files, f)
		}
	}
	out.add(t, b.path, b.text)
	return out
}

func (tree *archTree) add(t *testing.T, name, text string) {
	t.Helper()
	tree.text[name] = text
	switch path.Ext(name) {
	case ".go":
		syntax, err := parser.ParseFile(tree.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		f := archFile{path: name, dir: path.Dir(name), syntax: syntax, fset: tree.fset,
			test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(syntax)}
		tree.files = append(tree.files, f)
		if f.generated {
			return
		}
	case ".graphqls":
		tree.schema[name] = &schema.Source{Name: name, Input: text}
	}
	tree.lines[name] = strings.Count(text, "\n")
}

func handwritten(name string) bool {
	switch path.Ext(name) {
	case ".go", ".graphqls", ".sql", ".txtar", ".mjs", ".js", ".jsx", ".ts", ".tsx", ".css", ".html", ".sh":
		return true
	}
	return false
}

// length is a function's number of lines, with signature and braces.
func (f archFile) length(fn *ast.FuncDecl) int {
	return f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
}

func (f archFile) isResolvers() bool { return strings.HasSuffix(f.path, ".resolvers.go") }

// functions is a check that answers every function that is bad.
func functions(bad func(archFile, *ast.FuncDecl) bool) func(archTree) []string {
	return func(tree archTree) (out []string) {
		tree.eachFunc(func(f archFile, fn *ast.FuncDecl) {
			if bad(f, fn) {
				out = append(out, fmt.Sprintf("%s: %s (%d lines)", f.fset.Position(fn.Pos()), fn.Name, f.length(fn)))
			}
		})
		return out
	}
}

// specs is a check that answers every declaration at the top of a file that is bad.
func specs(bad func(archFile, *ast.GenDecl, ast.Spec) bool) func(archTree) []string {
	return func(tree archTree) (out []string) {
		tree.eachSpec(func(f archFile, decl *ast.GenDecl, spec ast.Spec) {
			if bad(f, decl, spec) {
				out = append(out, f.fset.Position(spec.Pos()).String())
			}
		})
		return out
	}
}

// eachFunc visits the functions and methods that people wrote.
func (tree archTree) eachFunc(visit func(archFile, *ast.FuncDecl)) {
	for _, f := range tree.files {
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && !f.generated {
				visit(f, fn)
			}
		}
	}
}

// eachSpec visits what is declared at the top of the files that people wrote.
func (tree archTree) eachSpec(visit func(archFile, *ast.GenDecl, ast.Spec)) {
	for _, f := range tree.files {
		for _, decl := range f.syntax.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok && !f.generated {
				for _, spec := range gen.Specs {
					visit(f, gen, spec)
				}
			}
		}
	}
}

// eachSelector visits every receiver.name outside tests, called or not, with its file and
// function.
func (tree archTree) eachSelector(name string, visit func(f archFile, where, receiver string)) {
	for _, f := range tree.files {
		if f.test {
			continue
		}
		for _, decl := range f.syntax.Decls {
			where := f.path
			if fn, ok := decl.(*ast.FuncDecl); ok {
				where += " " + fn.Name.Name
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == name {
					visit(f, where, types.ExprString(s.X))
				}
				return true
			})
		}
	}
}

// exceptions are what a rule lets pass, with the reason.
type exceptions map[string]string

// compare answers what was found and is no exception, and the exceptions that were not found.
func (e exceptions) compare(found []string, wrong string) (out []string) {
	for _, f := range found {
		if e[f] == "" {
			out = append(out, f+" "+wrong)
		}
	}
	for name := range e {
		if !slices.Contains(found, name) {
			out = append(out, name+" needs no exception any more")
		}
	}
	return out
}

// errorTable is every name, with its package, in the table of graph/error.go or in translate.
func (tree archTree) errorTable() map[string]bool {
	told := map[string]bool{}
	collect := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			told[types.ExprString(n)] = true
		case *ast.Ident:
			told["graph."+n.Name] = true
		}
		return true
	}
	tree.eachFunc(func(f archFile, fn *ast.FuncDecl) {
		if f.path == "graph/error.go" && fn.Name.Name == "translate" {
			ast.Inspect(fn, collect)
		}
	})
	tree.eachSpec(func(f archFile, _ *ast.GenDecl, spec ast.Spec) {
		if s, ok := spec.(*ast.ValueSpec); ok && f.path == "graph/error.go" && s.Names[0].Name == "table" {
			ast.Inspect(s, collect)
		}
	})
	return told
}

func (tree archTree) loadSchema() (*schema.Schema, error) {
	return gqlparser.LoadSchema(slices.Collect(maps.Values(tree.schema))...)
}

func (f archFile) imports() (out []string) {
	for _, spec := range f.syntax.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		out = append(out, imported)
	}
	return out
}

// opening is how a package comment begins; a program's, with the program's name.
func (f archFile) opening() string {
	switch name := path.Base(f.dir); {
	case f.dir == ".":
		return "Latchkey "
	case f.syntax.Name.Name == "main":
		return strings.ToUpper(name[:1]) + name[1:] + " "
	}
	return "Package " + f.syntax.Name.Name + " "
}

// receiver is the type that fn is a method of, without star or parameters; "" for none.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	name, _, _ := strings.Cut(types.ExprString(fn.Recv.List[0].Type), "[")
	return strings.TrimPrefix(name, "*")
}

// interfaceOf answers how many methods an interface has, and whether spec is one.
func interfaceOf(spec ast.Spec) (methods int, ok bool) {
	if s, isType := spec.(*ast.TypeSpec); isType {
		if i, ok := s.Type.(*ast.InterfaceType); ok {
			return i.Methods.NumFields(), true
		}
	}
	return 0, false
}

func isConstructor(params *ast.FieldList) bool {
	n := params.NumFields()
	return n <= 5 || n == 6 && strings.HasSuffix(types.ExprString(params.List[len(params.List)-1].Type), "Config")
}

func isErrName(name string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(name[:1])+name[1:], "err")
	return ok && rest != "" && ast.IsExported(rest)
}

func within(imported, library string) bool {
	return imported == library || strings.HasPrefix(imported, library+"/")
}

func comments(groups ...*ast.CommentGroup) string {
	var b strings.Builder
	for _, g := range groups {
		if g != nil {
			for _, c := range g.List {
				b.WriteString(c.Text + "\n")
			}
		}
	}
	return b.String()
}
