package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/requirements.txt lists what is required of Latchkey. A test cites the numbers that it
// proves, and only what it proves: it has to fail when the property is broken. A citation counts
//   - in the comment, the code and the texts of a Test or Fuzz function, and of the functions of
//     its package's tests that it uses (not of a benchmark, which CI does not run);
//   - in the comments of a scenario, testdata/*.txtar;
//   - in a test in JavaScript, *.test.js or *.mjs.

var update = flag.Bool("update", false, "write the generated parts of docs/security.md")

const (
	requirementsFile = "docs/requirements.txt"
	securityDocument = "docs/security.md"
)

// securityParts is what is generated of docs/security.md, by the name of the comments around it.
func securityParts(tree archTree, list []requirement, proofs map[string][]proof) map[string]string {
	return map[string]string{
		"requirements": requirementTables(list, proofs),
		"limits":       limitTables(tree),
	}
}

func TestSecurityDocument(t *testing.T) {
	text, err := os.ReadFile(requirementsFile)
	if err != nil {
		t.Fatal(err)
	}
	list, mistakes := parseRequirements(string(text))
	tree := readArchTree(t)
	proofs := proofsOf(tree)
	for _, mistake := range slices.Concat(mistakes, checkCitations(tree, list), checkProofs(list, proofs)) {
		t.Error(mistake)
	}
	old, err := os.ReadFile(securityDocument)
	if err != nil {
		t.Fatal(err)
	}
	fresh := string(old)
	for name, part := range securityParts(tree, list, proofs) {
		start, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
		before, rest, started := strings.Cut(fresh, start)
		_, after, ended := strings.Cut(rest, end)
		if !started || !ended {
			t.Fatalf("%s has no lines %q and %q", securityDocument, strings.TrimSpace(start), end)
		}
		fresh = before + start + "\n" + part + "\n" + end + after
	}
	if fresh == string(old) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the list and the tests say; renew it: go test . -run TestSecurityDocument -update", securityDocument)
	}
	if err := os.WriteFile(securityDocument, []byte(fresh), 0o644); err != nil {
		t.Fatal(err)
	}
}

// --- The list ----------------------------------------------------------------------

type requirement struct {
	section, number, level, text string
	kind, why                    string // the explanation; empty for none
}

const (
	decided = "decided"
	inPart  = "in part"
	notYet  = "not yet"
)

func parseRequirements(text string) (list []requirement, mistakes []string) {
	section, last := "", (*string)(nil)
	entry := regexp.MustCompile(`^(R-\d{2,}) (must|should) (.+)$`)
	explanation := regexp.MustCompile(`^ +(` + decided + `|` + inPart + `|` + notYet + `): +(.+)$`)
	for i, line := range strings.Split(text, "\n") {
		name, isSection := strings.CutPrefix(line, "== ")
		e, x := entry.FindStringSubmatch(line), explanation.FindStringSubmatch(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case isSection:
			section, last = name, nil
		case e != nil && section != "":
			list = append(list, requirement{section: section, number: e[1], level: e[2], text: e[3]})
			last = &list[len(list)-1].text
			if want := fmt.Sprintf("R-%02d", len(list)); e[1] != want {
				mistakes = append(mistakes, fmt.Sprintf("%s:%d: %s stands where %s belongs", requirementsFile, i+1, e[1], want))
			}
		case x != nil && len(list) > 0 && last == &list[len(list)-1].text:
			list[len(list)-1].kind, list[len(list)-1].why = x[1], x[2]
			last = &list[len(list)-1].why
		case x == nil && last != nil && strings.HasPrefix(line, " "):
			*last += " " + strings.TrimSpace(line)
		default:
			mistakes = append(mistakes, fmt.Sprintf("%s:%d: cannot be understood: %s", requirementsFile, i+1, line))
		}
	}
	return list, mistakes
}

// --- The citations -----------------------------------------------------------------

var (
	citation = regexp.MustCompile(`\bR-\d+\b`)
	// A range would claim what lies between its ends without anybody having looked.
	citedRange = regexp.MustCompile(`\bR-\d+ ?(to|through|and following|–|—|…|-) ?R-\d+\b`)
)

// proof is a test by its file and, in Go, its package and function.
type proof struct{ file, test string }

// link is Markdown, for a file in docs.
func (p proof) link() string {
	name := path.Base(p.file)
	if p.test != "" {
		name = "`" + p.test + "`"
	}
	return "[" + name + "](../" + p.file + ")"
}

// proofsOf answers which tests cite each number.
func proofsOf(tree archTree) map[string][]proof {
	out := map[string][]proof{}
	for p, text := range testTexts(tree) {
		for _, number := range citation.FindAllString(text, -1) {
			if !slices.Contains(out[number], p) {
				out[number] = append(out[number], p)
			}
		}
	}
	for _, proofs := range out {
		slices.SortFunc(proofs, func(a, b proof) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.test, b.test)) })
	}
	return out
}

// testTexts is the part of each test in which it may cite.
func testTexts(tree archTree) map[proof]string {
	out := map[proof]string{}
	for name, text := range tree.text {
		switch {
		case path.Dir(name) == "testdata" && path.Ext(name) == ".txtar":
			script, _, _ := strings.Cut("\n"+text, "\n-- ")
			out[proof{file: name}] = strings.Join(regexp.MustCompile(`(?m)^ *#.*$`).FindAllString(script, -1), "\n")
		case strings.HasSuffix(name, ".test.js") || path.Ext(name) == ".mjs":
			out[proof{file: name}] = text
		}
	}
	functions := map[string][]testFunction{} // of the tests of a directory, by directory and name
	for _, f := range tree.files {
		for _, decl := range f.syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.test && fn.Body != nil {
				key := f.dir + " " + fn.Name.Name
				functions[key] = append(functions[key], newTestFunction(f, fn, tree.text[f.path]))
			}
		}
	}
	for _, same := range functions {
		for _, fn := range same {
			if fn.isTest {
				out[fn.proof] = fn.withHelpers(functions, map[string]bool{})
			}
		}
	}
	return out
}

// testFunction is a function of a test file: a test, or what tests use.
type testFunction struct {
	proof
	dir, text string
	isTest    bool
	uses      []string // every name in it
}

func newTestFunction(f archFile, fn *ast.FuncDecl, source string) testFunction {
	start := fn.Pos()
	if fn.Doc != nil {
		start = fn.Doc.Pos()
	}
	out := testFunction{
		proof: proof{f.path, fn.Name.Name}, dir: f.dir,
		text:   source[f.fset.Position(start).Offset:f.fset.Position(fn.End()).Offset],
		isTest: fn.Recv == nil && fn.Name.Name != "TestMain" && regexp.MustCompile(`^(Test|Fuzz)([^a-z]|$)`).MatchString(fn.Name.Name),
	}
	if f.dir != "." {
		out.test = strings.TrimSuffix(f.syntax.Name.Name, "_test") + "." + out.test
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok {
			out.uses = append(out.uses, name.Name)
		}
		return true
	})
	return out
}

// withHelpers is the text of a function and of those that it uses, which are found by name.
func (fn testFunction) withHelpers(functions map[string][]testFunction, seen map[string]bool) string {
	text := fn.text
	for _, name := range fn.uses {
		key := fn.dir + " " + name
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, helper := range functions[key] {
			if !helper.isTest {
				text += "\n" + helper.withHelpers(functions, seen)
			}
		}
	}
	return text
}

// checkCitations finds numbers that are not in the list, wherever they are cited, and ranges in tests.
func checkCitations(tree archTree, list []requirement) (out []string) {
	known := map[string]bool{}
	for _, r := range list {
		known[r.number] = true
	}
	for name, text := range tree.text {
		for _, number := range citation.FindAllString(text, -1) {
			if !known[number] {
				out = append(out, name+" cites "+number+", which is not in "+requirementsFile)
			}
		}
	}
	for p, text := range testTexts(tree) {
		if found := citedRange.FindString(text); found != "" {
			out = append(out, p.file+" "+p.test+" cites "+found+": say each number that it proves")
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// checkProofs finds requirements that nothing proves and nothing explains, and explanations that are
// no longer true.
func checkProofs(list []requirement, proofs map[string][]proof) (out []string) {
	for _, r := range list {
		proven := len(proofs[r.number]) > 0
		switch {
		case r.kind == "" && !proven:
			out = append(out, r.number+": no test cites it, and "+requirementsFile+" does not explain why")
		case r.kind == notYet && proven:
			out = append(out, fmt.Sprintf("%s: %s says %q, but it is cited by %v", r.number, requirementsFile, notYet, proofs[r.number]))
		case r.kind == inPart && !proven:
			out = append(out, fmt.Sprintf("%s: %s says %q, but no test cites it", r.number, requirementsFile, inPart))
		}
	}
	return out
}

// --- The document ------------------------------------------------------------------

// requirementTables is a summary and a table for each section.
func requirementTables(list []requirement, proofs map[string][]proof) string {
	count := map[string]int{}
	for _, r := range list {
		count[r.kind]++
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Of %d requirements, tests prove %d as they stand and %d in part; %d are decided otherwise, and %d are not there yet.\n",
		len(list), count[""], count[inPart], count[decided], count[notYet])
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;")
	prefix := map[string]string{decided: "Decided otherwise: ", inPart: "In part: ", notYet: "Not yet: "}
	section := ""
	for _, r := range list {
		if r.section != section {
			section = r.section
			fmt.Fprintf(&b, "\n### %s\n\n| Number | Level | Requirement | Proof |\n|---|---|---|---|\n", section)
		}
		var proof []string
		if r.why != "" {
			proof = append(proof, prefix[r.kind]+cell.Replace(r.why))
		}
		var links []string
		for _, p := range proofs[r.number] {
			links = append(links, p.link())
		}
		if len(links) > 0 {
			proof = append(proof, strings.Join(links, ", "))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.number, r.level, cell.Replace(r.text), strings.Join(proof, "<br>"))
	}
	return b.String()
}

// --- The checks themselves ---------------------------------------------------------

// written takes § for the letter of a number: this file's own must not count.
func written(text string) string { return strings.ReplaceAll(text, "§", "R-") }

func TestCitationsAreFoundWhereTestsRun(t *testing.T) {
	for reason, test := range map[string]struct{ path, text, want string }{
		"in front of a test":          {"internal/user/x_test.go", "package user_test\n// §07, and §8.\nfunc TestX(t *T) {}", "user.TestX §07 §8"},
		"behind its name":             {"internal/user/x_test.go", "package user\nfunc TestX(t *T) { // §07/§08\n}", "user.TestX §07 §08"},
		"beside a case":               {"internal/user/x_test.go", "package user\nfunc TestX(t *T) { _ = 1 // §07\n}", "user.TestX §07"},
		"in the name of a case":       {"x_test.go", "package main\nfunc TestX(t *T) { _ = \"a word (§117)\" }", "TestX §117"},
		"in a fuzz target":            {"x_test.go", "package main\n// §07\nfunc FuzzX(f *F) {}", "FuzzX §07"},
		"in a helper of a helper":     {"x_test.go", "package main\nfunc TestX(t *T) { a.one() }\nfunc (a A) one() { _ = two }\n// §07\nfunc two() { a.one() }", "TestX §07"},
		"twice":                       {"x_test.go", "package main\n// §07 §07\nfunc TestX(t *T) { one() }\nfunc one() { _ = \"§07\" }", "TestX §07"},
		"in a helper nobody uses":     {"x_test.go", "package main\nfunc TestX(t *T) {}\nfunc one() { _ = \"§07\" }", ""},
		"in a benchmark":              {"x_test.go", "package main\n// §07\nfunc BenchmarkX(b *B) {}", ""},
		"in what is no test":          {"x_test.go", "package main\n// §07\nfunc Testing(t *T) {}\n// §07\nfunc TestMain(m *M) {}\n// §07\nvar x int", ""},
		"in another test that it is":  {"x_test.go", "package main\nfunc TestX(t *T) { TestY(t) }\n// §07\nfunc TestY(t *T) {}", "TestY §07"},
		"in the code of the server":   {"x.go", "package main\n// §07\nfunc TestX(t *T) {}", ""},
		"in a scenario":               {"testdata/x.txtar", "# §07\nserver\n# §08,\n-- file --\n# §09\n", "testdata/x.txtar §07 §08"},
		"in a scenario's commands":    {"testdata/x.txtar", "stdout §07\n", ""},
		"in a scenario's files alone": {"testdata/x.txtar", "-- file --\n# §07\n", ""},
		"in JavaScript":               {"internal/web/ide/x.test.js", "test('a word (§07)')", "internal/web/ide/x.test.js §07"},
		"in what the page is made of": {"internal/web/ide/x.js", "// §07", ""},
		"in a word":                   {"x_test.go", "package main\n// P§07 §07x\nfunc TestX(t *T) {}", ""},
	} {
		t.Run(reason, func(t *testing.T) {
			proofs, got := proofsOf(emptyArchTree().with(t, archBreak{test.path, written(test.text)})), []string{}
			for _, number := range slices.Sorted(maps.Keys(proofs)) {
				for _, p := range proofs[number] {
					if name := cmp.Or(p.test, p.file); !slices.Contains(got, name) {
						got = append(got, name)
					}
				}
				got = append(got, number)
			}
			if text := strings.Join(got, " "); text != written(test.want) {
				t.Errorf("%q, want %q", text, written(test.want))
			}
		})
	}
}

func TestGapsInTheProofsAreTold(t *testing.T) {
	const list = "== A. First\n§01 must a\n§02 must b\n"
	for reason, test := range map[string]struct{ list, test, want string }{
		"all proven":                      {list, "// §01 §02", ""},
		"one without proof":               {list, "// §01", "§02: no test cites it"},
		"one that is explained":           {list + "  decided: otherwise\n", "// §01", ""},
		"a decision may be proven":        {list + "  decided: otherwise\n", "// §01 §02", ""},
		"what nobody does yet":            {list + "  not yet: later\n", "// §01", ""},
		"an explanation that is outdated": {list + "  not yet: later\n", "// §01 §02", `§02: docs/requirements.txt says "not yet"`},
		"a part":                          {list + "  in part: half\n", "// §01 §02", ""},
		"a part without proof":            {list + "  in part: half\n", "// §01", `§02: docs/requirements.txt says "in part"`},
		"a number nobody knows":           {list, "// §01 §02 §03", "x_test.go cites §03"},
		"a range":                         {list, "// §01 to §02", "cites §01 to §02"},
		"a range with a dash":             {list, "// §01–§02", "cites §01–§02"},
		"a number left out":               {strings.Replace(list, "§02", "§03", 1), "// §01 §03", "§03 stands where §02 belongs"},
		"a number twice":                  {list + "§02 must c\n", "// §01 §02", "§02 stands where §03 belongs"},
		"a level of its own":              {list + "§03 may c\n", "// §01 §02", "requirements.txt:4: cannot be understood"},
		"a second explanation":            {list + "  decided: a\n  not yet: b\n", "// §01 §02", "requirements.txt:5: cannot be understood"},
		"an entry without a section":      {"§01 must a\n", "// §01", "requirements.txt:1: cannot be understood"},
		"an explanation of nothing":       {"== A\n  decided: a\n", "", "requirements.txt:2: cannot be understood"},
	} {
		t.Run(reason, func(t *testing.T) {
			requirements, found := parseRequirements(written(test.list))
			tree := emptyArchTree().with(t, archBreak{"x_test.go", "package main\n" + written(test.test) + "\nfunc TestX(t *T) {}"})
			found = slices.Concat(found, checkCitations(tree, requirements), checkProofs(requirements, proofsOf(tree)))
			if text := strings.Join(found, "\n"); (text == "") != (test.want == "") || !strings.Contains(text, written(test.want)) {
				t.Errorf("%q, want %q", text, written(test.want))
			}
		})
	}
}
