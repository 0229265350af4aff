package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/internal/reqctx"
)

// rulesBroken has a document for each rule of validation, which breaks it with the word CANARY
// where a name of the client's own can stand.
func rulesBroken() map[string]string {
	return map[string]string{
		"DocumentLimits":               "query CANARY { me { ...CANARY } } fragment CANARY on User {" + times(501, "CANARY: id ") + "}",
		"FieldsOnCorrectType":          "{ CANARY: me { CANARY } }",
		"FragmentsOnCompositeTypes":    "{ ...CANARY } fragment CANARY on Int { CANARY }",
		"KnownArgumentNames":           "{ me(CANARY: 1) @include(if: true, CANARY: 2) { id } }",
		"KnownDirectives":              "{ CANARY: me @CANARY { id } }",
		"KnownFragmentNames":           "{ ...CANARY }",
		"KnownRootType":                "mutation CANARY { CANARY }",
		"KnownTypeNames":               "query CANARY($CANARY: CANARY) { me { id } }",
		"LoneAnonymousOperation":       "{ CANARY: __typename } query CANARY { CANARY: __typename }",
		"MaxIntrospectionDepth":        "query CANARY { CANARY: __schema { types { fields { type { fields { type { fields { CANARY: name } } } } } } } }",
		"NoFragmentCycles":             "{ ...CANARY } fragment CANARY on Query { ...CANARY1 } fragment CANARY1 on Query { ...CANARY }",
		"NoIntrospection":              `query CANARY { CANARY: __type(name: "CANARY") { name } }`,
		"NoUndefinedVariables":         "query CANARY { me(id: $CANARY) { id } }",
		"NoUnusedFragments":            "{ __typename } fragment CANARY on Query { CANARY: __typename }",
		"NoUnusedVariables":            "query CANARY($CANARY: ID) { __typename }",
		"OneCredential":                "subscription CANARY { CANARY: enter { id } CANARY1: enter { id } }",
		"OverlappingFieldsCanBeMerged": `{ CANARY: me(id: "CANARY") { id } CANARY: me { id } }`,
		"PossibleFragmentSpreads":      "{ ...CANARY } fragment CANARY on User { id }",
		"ProvidedRequiredArguments":    "query CANARY { CANARY: must }",
		"ScalarLeafs":                  "query CANARY { CANARY: me me { id { CANARY } } }",
		"SingleFieldSubscriptions":     "subscription CANARY { CANARY: enter { id } CANARY1: __typename }",
		"UniqueArgumentNames":          `{ CANARY: me(id: "CANARY", id: "CANARY") { id } }`,
		"UniqueDirectivesPerLocation":  "{ CANARY: me @include(if: true) @include(if: true) { id } }",
		"UniqueFragmentNames":          "{ ...CANARY } fragment CANARY on Query { __typename } fragment CANARY on Query { __typename }",
		"UniqueInputFieldNames":        `{ me(in: {name: "CANARY", name: "CANARY"}) { id } }`,
		"UniqueOperationNames":         "query CANARY { __typename } query CANARY { __typename }",
		"UniqueVariableNames":          "query CANARY($CANARY: ID, $CANARY: ID) { me(id: $CANARY) { id } }",
		"ValuesOfCorrectType":          `{ me(id: CANARY, in: {CANARY: "CANARY"}, sort: CANARY) { id } }`,
		"VariablesAreInputTypes":       "query CANARY($CANARY: User) { me(id: $CANARY) { id } }",
		"VariablesInAllowedPosition":   "query CANARY($CANARY: ID) { CANARY: must(x: $CANARY) }",
	}
}

// No rule's message repeats the request where the schema is a secret, and no rule offers a word
// of the schema.
func TestRulesRepeatNothing(t *testing.T) {
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: `
		directive @credential on FIELD_DEFINITION
		type Query { me(id: ID, sort: Sort, in: In): User must(x: Int!): Int }
		type Subscription { enter: User @credential }
		type User { id: ID } enum Sort { CANARYS } input In { CANARYS: Int name: String }`})
	if err != nil {
		t.Fatal(err)
	}
	documents := rulesBroken()
	for name := range discreetRules().GetInner() {
		if documents[name] == "" {
			t.Errorf("no document breaks %s", name)
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(documents)) {
		found := false
		for _, raw := range validate(t, schema, documents[rule], discreetRules()) {
			found = found || raw.Rule == rule
			out := &gqlerror.Error{Extensions: map[string]any{}}
			refusal(out, raw, false)
			if out.Message == "" || strings.Contains(out.Message, "CANARY") || strings.Contains(fmt.Sprint(out.Extensions), "CANARY") {
				t.Errorf("%s: %+v", raw.Rule, out)
			}
		}
		if !found {
			t.Errorf("the document for %s does not break it", rule)
		}
	}
}

// Suggestions are not left out of the answer alone: nobody looks for them.
func TestNoSuggestionIsMade(t *testing.T) {
	for _, introspection := range []bool{false, true} {
		f := newFixture(t, HandlerConfig{Introspection: introspection})
		for _, document := range []string{
			"{ mee }", "{ me }", "{ me @include(iff: true) { id } }", `mutation { logout(refreshTokn: "x") }`, "{ ...F } fragment F on Quer { me { id } }",
			`mutation { login(input: {email: "a", passwort: "b"}) { accessToken } }`,
			`mutation { login(input: {email: "a", password: "b", delivery: BODIE}) { accessToken } }`,
		} {
			_, errs := f.executor().CreateOperationContext(graphql.StartOperationTrace(t.Context()), &graphql.RawParams{Query: document})
			if suggests := strings.Contains(errs.Error(), "Did you mean"); suggests != introspection {
				t.Errorf("introspection %t: %v", introspection, errs)
			}
		}
	}
}

// In an operation that runs, the client's own words are keys of the answer, and nothing else.
func TestNamesOfTheClientAreNotLogged(t *testing.T) {
	const document = "query CANARY($CANARY: Boolean = true) { CANARY: me @include(if: $CANARY) { ...CANARY } } fragment CANARY on User { CANARY: id }"
	for reason, err := range map[string]error{"success": nil, "our fault": errors.New("away"), "a refusal": ErrForbidden} {
		f := newFixture(t, HandlerConfig{})
		f.users.err = err
		w := f.post(document, map[string]any{"CANARY1": "CANARY"})
		r := decode(t, w)
		if _, has := r.Data["CANARY"]; !has || (len(r.Errors) == 0) != (err == nil) {
			t.Errorf("%s: %+v", reason, r)
		}
		for _, e := range r.Errors {
			if strings.Contains(e.Message+fmt.Sprint(e.Extensions), "CANARY") || fmt.Sprint(e.Path) != "[CANARY]" {
				t.Errorf("%s: %+v", reason, e)
			}
		}
		if said := f.log.String() + strings.Join(f.req.Notes(), " "); strings.Contains(said, "CANARY") {
			t.Errorf("%s: %s", reason, said)
		}
	}
}

func TestVariablesAreNamedWhereTheSchemaIsTold(t *testing.T) {
	for introspection, want := range map[bool]string{true: "The variable $in does not fit its type.", false: "A variable does not fit its type."} {
		f := newFixture(t, HandlerConfig{Introspection: introspection})
		r := decode(t, f.post("mutation L($in: LoginInput!) { login(input: $in) { accessToken } }", map[string]any{"in": map[string]any{canary: 1}}))
		if got := r.Errors[0]; got.Message != want || got.Path != nil {
			t.Errorf("%+v", got)
		}
	}
}

// The cache of documents keeps the latest that are valid, and no more of them.
func TestQueryCacheIsBounded(t *testing.T) {
	f := newFixture(t, HandlerConfig{})
	parse := func(document string) *ast.QueryDocument {
		ctx := reqctx.With(graphql.StartOperationTrace(t.Context()), f.req)
		op, errs := f.executor().CreateOperationContext(ctx, &graphql.RawParams{Query: document})
		if (len(errs) > 0) != strings.Contains(document, "mee") {
			t.Fatal(errs)
		}
		return op.Doc
	}
	const document = "{ me { id } }"
	first := parse(document)
	for i := range 2 * cachedDocuments {
		parse(fmt.Sprintf("{ mee { a%d: id } }", i))
	}
	if parse(document) != first {
		t.Fatal("not kept, or pushed out by documents that are refused")
	}
	for i := range cachedDocuments {
		parse(fmt.Sprintf("{ me { a%d: id } }", i))
	}
	if parse(document) == first {
		t.Errorf("kept after %d others", cachedDocuments)
	}
}
