package graph

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"pgregory.net/rapid"
)

// times writes text n times; %d in it is the number of the copy.
func times(n int, text string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(text, "%d", fmt.Sprint(i)))
	}
	return b.String()
}

// doubling is a chain of fragments, each of which spreads the next one twice.
func doubling(levels int, last string) string {
	var b strings.Builder
	for i := range levels {
		fmt.Fprintf(&b, "fragment F%d on User { ...F%d ...F%d } ", i, i+1, i+1)
	}
	return fmt.Sprintf("{ me { ...F0 } } %s fragment F%d on User { %s }", &b, levels, last)
}

func TestLimits(t *testing.T) {
	const depth, aliases = "An operation may be at most 20 fields deep.", "An operation may have at most 30 aliases, its fragments' included."
	const roots, fields = "An operation may have at most 20 fields at its top, its fragments' included.", "An operation may have at most 500 fields, its fragments' included."
	for reason, test := range map[string]struct {
		message  string
		most     int
		document func(n int) string
	}{
		"depth": {depth, maxDepth, func(n int) string {
			return `{ __type(name: "User") ` + times(n-2, "{ ofType ") + "{ name }" + times(n-2, "}") + "}"
		}},
		"depth, with fragments": {depth, maxDepth, func(n int) string {
			return `{ __type(name: "User") { ...A } } fragment A on __Type { ofType { ... { ...B } } } fragment B on __Type ` +
				times(n-3, "{ ofType ") + "{ name }" + times(n-3, "}")
		}},
		"depth, of another operation than the one that runs": {depth, maxDepth, func(n int) string {
			return `query Run { me { id } } query Other { __type(name: "User") ` + times(n-2, "{ ofType ") + "{ name }" + times(n-2, "}") + "}"
		}},
		"aliases": {aliases, maxAliases, func(n int) string {
			return "{ me { " + times(n, "a%d: id ") + "} }"
		}},
		"aliases, with fragments": {aliases, maxAliases, func(n int) string {
			return "{ me { ...A ... on User { ...A } " + times(n%2, "b: id") + " } } fragment A on User { " + times(n/2, "a%d: id ") + "}"
		}},
		"aliases, at the top and below": {aliases, maxAliases, func(n int) string {
			return "{ a: me { " + times(n-1, "a%d: id ") + "} }"
		}},
		"root fields": {roots, maxRootFields, func(n int) string {
			return "{ " + times(n, "a%d: me { id } ") + "}"
		}},
		"root fields, with fragments": {roots, maxRootFields, func(n int) string {
			return "{ ...B ... { ...B } " + times(n%2, "__typename") + " } fragment B on Query { ...A } fragment A on Query { " + times(n/2, "a%d: __typename ") + "}"
		}},
		"fields": {fields, maxFields, func(n int) string {
			return "{ me { " + times(n-1, "id ") + "} }"
		}},
		"fields, with fragments": {fields, maxFields, func(n int) string { // 1 + 60 + 8 × 54 + the rest
			return "{ me { " + times(60, "id ") + "...A " + times(n-493, "name ") + "} } fragment A on User {" + times(8, " ...B") +
				"} fragment B on User { " + times(54, "id ") + "}"
		}},
	} {
		t.Run(reason, func(t *testing.T) {
			for _, extra := range []int{0, 1} {
				for media, status := range map[string]int{mediaJSON: 200, mediaResponse: 400} {
					f := newFixture(t, HandlerConfig{Introspection: true})
					body, _ := json.Marshal(map[string]string{"query": test.document(test.most + extra), "operationName": "Run"})
					if !strings.Contains(string(body), "query Run") {
						body, _ = json.Marshal(map[string]string{"query": test.document(test.most + extra)})
					}
					w := f.send("POST", "/graphql", string(body), contentJSON, "Accept: "+media)
					r := decode(t, w)
					if extra == 0 {
						if w.Code != 200 || len(r.Errors) > 0 {
							t.Errorf("at the limit: status %d, %+v", w.Code, r)
						}
						continue
					}
					if w.Code != status || code(t, r) != "BAD_REQUEST" || r.Data != nil || r.Errors[0].Message != test.message {
						t.Errorf("over the limit: status %d, %+v", w.Code, r)
					}
				}
			}
		})
	}
}

// A short text that would execute for ages, and what never ends, are refused as fast as
// anything else.
func TestFragmentsThatMultiply(t *testing.T) {
	fields := "An operation may have at most 500 fields, its fragments' included."
	for reason, test := range map[string]struct{ document, code, message string }{
		"30 levels of doubling":               {doubling(30, "id"), "BAD_REQUEST", fields},
		"doubling to the limit of tokens":     {doubling(80, "id"), "BAD_REQUEST", fields},
		"doubling of a fragment that is none": {doubling(30, "...Nobody"), "GRAPHQL_VALIDATION_FAILED", "The document breaks a rule of GraphQL: KnownFragmentNames."},
		"doubling of a cycle":                 {doubling(30, "...F0"), "GRAPHQL_VALIDATION_FAILED", ""},
		"a fragment within itself":            {"{ me { ...A } } fragment A on User { id ...A }", "GRAPHQL_VALIDATION_FAILED", "The document breaks a rule of GraphQL: NoFragmentCycles."},
		"two fragments within each other":     {"{ me { ...A } } fragment A on User { ...B id ...B } fragment B on User { ...A id ...A }", "GRAPHQL_VALIDATION_FAILED", ""},
		"a cycle at the top":                  {"{ ...A } fragment A on Query { a: me { id } ...B } fragment B on Query { b: me { id } ...A }", "GRAPHQL_VALIDATION_FAILED", ""},
		"a cycle that signs in":               {"mutation { ...A } fragment A on Mutation { logout ...B } fragment B on Mutation { revokeAll ...A }", "BAD_REQUEST", ""},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			answered := make(chan *httptest.ResponseRecorder, 1)
			go func() { answered <- f.post(test.document, nil) }()
			var r reply
			select {
			case w := <-answered:
				r = decode(t, w)
			case <-time.After(5 * time.Second): // it takes a millisecond, unless each level doubles that
				t.Fatal("no end in sight")
			}
			codes := map[any]bool{}
			for _, e := range r.Errors {
				codes[e.Extensions["code"]] = true
			}
			if !codes[test.code] || r.Data != nil || (test.message != "" && r.Errors[len(r.Errors)-1].Message != test.message) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestOneCredentialFieldPerOperation(t *testing.T) {
	const login = `login(input: {email: "a@example.com", password: "b"}) { accessToken } `
	for reason, test := range map[string]struct {
		document string
		refused  bool
		logins   int
	}{
		"one":                                 {"mutation { " + login + "}", false, 1},
		"one under another name":              {"mutation { a: " + login + "}", false, 1},
		"one, and what is none":               {"mutation { __typename " + login + "b: __typename }", false, 1},
		"the same field twice is one":         {"mutation { a: " + login + "a: " + login + "}", false, 1},
		"the same field from a fragment, too": {"mutation { " + login + "...A ...A } fragment A on Mutation { " + login + "}", false, 1},
		"one per operation":                   {"mutation Run { " + login + "} mutation Other { logout }", false, 1},
		"one that is skipped":                 {"mutation { " + strings.Replace(login, " {", " @skip(if: true) {", 1) + "}", false, 0},
		"two":                                 {"mutation { " + login + "revokeAll }", true, 0},
		"two of a kind":                       {"mutation { a: " + login + "b: " + login + "}", true, 0},
		"30 aliases":                          {"mutation { " + times(30, "a%d: "+login) + "}", true, 0},
		"in a fragment":                       {"mutation { " + login + "...A } fragment A on Mutation { b: " + login + "}", true, 0},
		"in nested fragments":                 {"mutation { ...A ... on Mutation { ... { b: " + login + "} } } fragment A on Mutation { ...B } fragment B on Mutation { ... { " + login + "} }", true, 0},
		"in one fragment":                     {"mutation { ...A } fragment A on Mutation { logout " + login + "}", true, 0},
		"all but one are skipped":             {"mutation($no: Boolean = false) { logout @skip(if: true) refresh @include(if: $no) { expiresIn } " + login + "}", true, 0},
		"a fragment that is skipped":          {"mutation { " + login + "...A @skip(if: true) } fragment A on Mutation { logout }", true, 0},
		"in another operation than that runs": {"mutation Run { " + login + "} mutation Other { refresh { expiresIn } logout }", true, 0},
		"signing up and out":                  {`mutation { signUp(input: {email: "a@example.com", password: "b"}) { expiresIn } logout }`, true, 0},
		"refreshing twice":                    {`mutation { refresh { expiresIn } b: refresh(refreshToken: "x") { expiresIn } }`, true, 0},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			body := map[string]string{"query": test.document}
			if strings.Contains(test.document, "mutation Run") {
				body["operationName"] = "Run"
			}
			text, _ := json.Marshal(body)
			r := decode(t, f.send("POST", "/graphql", string(text), contentJSON))
			if f.logins.calls != test.logins {
				t.Errorf("%d logins", f.logins.calls)
			}
			isRefused := false
			for _, e := range r.Errors {
				says := e.Message == "An operation may sign up, log in, refresh or sign out once. Send such fields one by one."
				isRefused = isRefused || says && e.Extensions["code"] == "BAD_REQUEST" && r.Data == nil
			}
			if isRefused != test.refused {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The limits hold for what the schema does not have yet.
func TestLimitsOfSubscriptions(t *testing.T) {
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: `
		directive @credential on FIELD_DEFINITION
		type Query { a: Int } type Subscription { news: News @credential } type News { id: ID next: News }`})
	if err != nil {
		t.Fatal(err)
	}
	for document, want := range map[string]string{
		"subscription { news { id } }": "",
		"subscription { news" + times(maxDepth-2, "{ next ") + "{ id }" + times(maxDepth-1, "}"):              "",
		"subscription { news" + times(maxDepth-1, "{ next ") + "{ id }" + times(maxDepth, "}"):                ruleLimits,
		"subscription { news { " + times(maxAliases+1, "a%d: id ") + "} }":                                    ruleLimits,
		"subscription { ...A } fragment A on Subscription { news { " + times(maxFields, "id ") + "} }":        ruleLimits,
		"subscription { a: news { id } b: news { id } }":                                                      ruleCredential,
		"subscription { __schema { types { name } } }":                                                        "NoIntrospection",
		"subscription { news { id } ...A } fragment A on Subscription { x: __type(name: \"News\") { name } }": "NoIntrospection",
	} {
		var broken []string
		for _, e := range validate(t, schema, document, discreetRules()) {
			if strings.Contains("DocumentLimits OneCredential NoIntrospection", e.Rule) {
				broken = append(broken, e.Rule)
			}
		}
		if got := strings.Join(slices.Compact(broken), " "); got != want {
			t.Errorf("%s: %q, want %q", document, got, want)
		}
	}
}

func validate(t testing.TB, schema *ast.Schema, document string, by *rules.Rules) gqlerror.List {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: document})
	if err != nil {
		t.Fatal(err)
	}
	return validator.ValidateWithRules(schema, doc, by)
}

// Tools that ask for the schema are within the limits, with room for a schema that grows.
func TestIntrospectionQueryIsWithinTheLimits(t *testing.T) {
	document, err := os.ReadFile("testdata/introspection.graphql")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, HandlerConfig{Introspection: true})
	if r := decode(t, f.post(string(document), nil)); len(r.Errors) > 0 || r.Data["__schema"] == nil {
		t.Errorf("%+v", r.Errors)
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: string(document)})
	if err != nil {
		t.Fatal(err)
	}
	validator.Walk(NewExecutableSchema(Config{}).Schema(), doc, &core.Events{})
	got := shapes{}.of(doc.Operations[0].SelectionSet)
	t.Logf("%+v", got)
	if got.depth > maxDepth-4 || got.aliases > 0 || got.roots > 1 || got.fields > maxFields/3*2 {
		t.Errorf("no room: %+v", got)
	}
}

func BenchmarkRefusal(b *testing.B) {
	for name, document := range map[string]string{"doubling 30": doubling(30, "id"), "doubling 80": doubling(80, "id"), "fields": "{me{" + times(490, "id ") + "}}" + "", "aliases": "{" + times(240, "a%d:me{id}") + "}"} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b, HandlerConfig{})
			for b.Loop() {
				f.req = signedIn()
				f.post(document, nil)
			}
		})
	}
}

// tree is a selection set with a copy of each fragment in its place.
type tree []struct {
	isAlias bool
	below   tree
}

// expand answers false if there is no end, or none within room fields.
func expand(set ast.SelectionSet, room *int) (out tree, ok bool) {
	for _, selection := range set {
		below, isAlias, isField := set, false, false
		switch selection := selection.(type) {
		case *ast.Field:
			below, isAlias, isField = selection.SelectionSet, selection.Alias != selection.Name, true
		case *ast.InlineFragment:
			below = selection.SelectionSet
		case *ast.FragmentSpread:
			if selection.Definition == nil {
				continue
			}
			below = selection.Definition.SelectionSet
		}
		if *room--; *room < 0 {
			return nil, false
		}
		inner, ok := expand(below, room)
		if !ok {
			return nil, false
		}
		if isField {
			out = append(out, struct {
				isAlias bool
				below   tree
			}{isAlias, inner})
		} else {
			out = append(out, inner...)
		}
	}
	return out, true
}

func (all tree) shape() shape {
	out := shape{roots: len(all)}
	for _, field := range all {
		s := field.below.shape()
		out.depth = max(out.depth, s.depth+1)
		out.aliases += s.aliases
		out.fields += s.fields + 1
		if field.isAlias {
			out.aliases++
		}
	}
	return out
}

// compare measures the operations of a document by remembering and by writing all out.
func compare(t interface{ Fatalf(string, ...any) }, schema *ast.Schema, doc *ast.QueryDocument) (compared int) {
	validator.Walk(schema, doc, &core.Events{})
	known := shapes{}
	for _, operation := range doc.Operations {
		got, room := known.of(operation.SelectionSet), 10_000
		if all, ok := expand(operation.SelectionSet, &room); ok {
			if compared++; got != all.shape() {
				t.Fatalf("%+v, written out %+v", got, all.shape())
			}
		}
	}
	return compared
}

func selfSchema(t testing.TB) *ast.Schema {
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: "type Query { a: Query b: Query }"})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// What is remembered of a fragment is what it would be if it were written out.
func TestShapeOfFragments(t *testing.T) {
	schema := selfSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		fragments := rapid.IntRange(0, 5).Draw(t, "fragments")
		var selections func(from, depth int) string
		selections = func(from, depth int) string {
			var b strings.Builder
			for range rapid.IntRange(1, 3).Draw(t, "selections") {
				kind := rapid.IntRange(0, 4).Draw(t, "kind")
				switch {
				case kind == 0 && from < fragments: // a later one, so that there is an end
					fmt.Fprintf(&b, "...F%d ", rapid.IntRange(from, fragments-1).Draw(t, "fragment"))
				case kind == 1 && depth > 0:
					fmt.Fprintf(&b, "... { %s} ", selections(from, depth-1))
				case kind == 2 && depth > 0:
					fmt.Fprintf(&b, "a { %s} ", selections(from, depth-1))
				case kind == 3 && depth > 0:
					fmt.Fprintf(&b, "x: b { %s} ", selections(from, depth-1))
				default:
					b.WriteString(rapid.SampledFrom([]string{"a ", "a: a ", "y: a "}).Draw(t, "field"))
				}
			}
			return b.String()
		}
		document := "{ " + selections(0, 3) + "}"
		for i := range fragments {
			document += fmt.Sprintf(" fragment F%d on Query { %s}", i, selections(i+1, 3))
		}
		doc, err := parser.ParseQuery(&ast.Source{Input: document})
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		if compare(t, schema, doc) != 1 {
			t.Skip("too large to be written out")
		}
	})
}

func FuzzLimits(f *testing.F) {
	for _, document := range []string{
		"{ a { b } x: a }", "query A { ...F } mutation B { a } fragment F on Query { a ...F }",
		"{ ... @skip(if: true) { a } ...F ...G } fragment F on Query { ...G } fragment G on Query { b { a: b } }",
		"subscription { a } fragment F on Query { a } fragment F on Query { ...F }",
		strings.ReplaceAll(doubling(30, "a"), "User", "Query"), doubling(80, "...Nobody"), doubling(20, "...F3"),
	} {
		f.Add(document)
	}
	schema := selfSchema(f)
	f.Fuzz(func(t *testing.T, document string) {
		doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, tokenLimit)
		if err != nil || doc == nil {
			return
		}
		start := time.Now()
		validator.ValidateWithRules(schema, doc, discreetRules())
		if took := time.Since(start); took > 2*time.Second { // some milliseconds, unless something multiplies
			t.Errorf("took %s", took)
		}
		compare(t, schema, doc)
	})
}
