package graph

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

// fieldWithArgument is the context of a field to which a client gave one argument.
func fieldWithArgument(args map[string]any) *graphql.FieldContext {
	field := &ast.Field{Alias: "f", Name: "f", Arguments: ast.ArgumentList{{Name: "a"}}}
	return &graphql.FieldContext{Object: "Query", Field: graphql.CollectedField{Field: field}, Args: args}
}

func TestEveryDirectiveIsImplemented(t *testing.T) { // a nil one would answer INTERNAL at run time
	root := reflect.ValueOf(directives())
	for i := range root.NumField() {
		if root.Field(i).IsNil() {
			t.Errorf("@%s does nothing", strings.ToLower(root.Type().Field(i).Name))
		}
	}
}

func TestAuth(t *testing.T) {
	admin, both := []model.Role{model.RoleAdmin}, []model.Role{model.RoleAdmin, model.RoleUser}
	minute, zero := 60, 0
	refused := func(err error) *reqctx.Request {
		r := signedIn(user.RoleAdmin) // what is left over in the principal does not count
		r.AuthErr = err
		return r
	}
	for reason, test := range map[string]struct {
		req    func() *reqctx.Request
		age    time.Duration // since the last proof of identity
		roles  []model.Role
		maxAge *int
		want   error
	}{
		"signed in":                         {func() *reqctx.Request { return signedIn(user.RoleUser) }, 0, nil, nil, nil},
		"signed in without any role":        {func() *reqctx.Request { return signedIn() }, 0, nil, nil, nil},
		"no token":                          {func() *reqctx.Request { return refused(session.ErrNoToken) }, 0, nil, nil, session.ErrNoToken},
		"an expired token is not anonymous": {func() *reqctx.Request { return refused(token.ErrAccessExpired) }, 0, nil, nil, token.ErrAccessExpired},
		"an ended session":                  {func() *reqctx.Request { return refused(session.ErrRevoked) }, 0, admin, &minute, session.ErrRevoked},
		"the cookie is no authority": {func() *reqctx.Request {
			r := refused(session.ErrNoToken)
			r.Refresh = token.NewSecret("genuine")
			return r
		}, 0, nil, nil, session.ErrNoToken},
		"the role":                        {func() *reqctx.Request { return signedIn(user.RoleUser, user.RoleAdmin) }, 0, admin, nil, nil},
		"another role":                    {func() *reqctx.Request { return signedIn(user.RoleUser) }, 0, admin, nil, ErrForbidden},
		"no role":                         {func() *reqctx.Request { return signedIn() }, 0, both, nil, ErrForbidden},
		"one of two roles is enough":      {func() *reqctx.Request { return signedIn(user.RoleUser) }, 0, both, nil, nil},
		"a role in other letters is none": {func() *reqctx.Request { return signedIn("admin") }, 0, admin, nil, ErrForbidden},
		"young enough":                    {func() *reqctx.Request { return signedIn() }, time.Minute, nil, &minute, nil},
		"too old":                         {func() *reqctx.Request { return signedIn() }, time.Minute + 1, nil, &minute, ErrReauthenticate},
		"old, and nobody asks":            {func() *reqctx.Request { return signedIn() }, 99 * time.Hour, nil, nil, nil},
		"an age of zero is always over":   {func() *reqctx.Request { return signedIn() }, time.Hour, nil, &zero, ErrReauthenticate},
		"an empty list lets nobody in":    {func() *reqctx.Request { return signedIn(user.RoleAdmin) }, 0, []model.Role{}, nil, ErrForbidden},
		"old and without the role: a new login would not help": {func() *reqctx.Request { return signedIn() }, time.Hour, admin, &minute, ErrForbidden},
		"the role, but too old":                                {func() *reqctx.Request { return signedIn(user.RoleAdmin) }, time.Hour, admin, &minute, ErrReauthenticate},
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req := test.req()
				time.Sleep(test.age)
				called := false
				_, err := auth(reqctx.With(t.Context(), req), nil, func(context.Context) (any, error) { called = true; return nil, nil }, test.roles, test.maxAge)
				if !errors.Is(err, test.want) || called != (test.want == nil) {
					t.Errorf("%v; the resolver was called: %t", err, called)
				}
			})
		})
	}
	if err := (guard{}).check(t.Context()); !errors.Is(err, session.ErrNoToken) {
		t.Errorf("outside a request: %v", err)
	}
}

func TestGuardedFieldWithoutAPrincipal(t *testing.T) { // R-55 as wire.md has it
	f := newFixture(t, HandlerConfig{})
	f.req.AuthErr = token.ErrAccessExpired
	w := f.post("{ me { id } }", nil)
	if got := w.Body.String(); w.Code != 200 || got != `{"errors":[{"message":"The access token has expired.","path":["me"],"locations":[{"line":1,"column":3}],`+
		`"extensions":{"code":"UNAUTHENTICATED","reason":"TOKEN_EXPIRED"}}],"data":{"me":null}}` {
		t.Error(got)
	}
	w = f.post(`mutation { login(input: {email: "a", password: "b"}) { accessToken } }`, nil)
	if r := decode(t, w); code(t, r) != "RATE_LIMITED" || f.logins.calls != 1 {
		t.Errorf("a stale token keeps login from running: %+v", r)
	}
}

func schemaOf(t *testing.T, text string) *ast.Schema {
	t.Helper()
	schema, err := gqlparser.LoadSchema(&ast.Source{Input: `
		directive @auth(roles: [Role!], maxAge: Int) on FIELD_DEFINITION | OBJECT
		enum Role { USER ADMIN }
		type Query { report: Report }
		type Open { a: Int }
	` + text})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestGuardedTypes(t *testing.T) {
	second, minutes := 1, 300
	for reason, test := range map[string]struct {
		schema string
		want   guard
	}{
		"any signed-in user":                 {`type Report @auth { a: Int }`, guard{}},
		"roles":                              {`type Report @auth(roles: [ADMIN, USER]) { a: Int }`, guard{roles: []user.Role{"ADMIN", "USER"}}},
		"one role":                           {`type Report @auth(roles: [ADMIN]) { a: Int }`, guard{roles: []user.Role{"ADMIN"}}},
		"one role without brackets":          {`type Report @auth(roles: ADMIN) { a: Int }`, guard{roles: []user.Role{"ADMIN"}}},
		"an age":                             {`type Report @auth(maxAge: 300) { a: Int }`, guard{maxAge: &minutes}},
		"both":                               {`type Report @auth(roles: [ADMIN], maxAge: 1) { a: Int }`, guard{roles: []user.Role{"ADMIN"}, maxAge: &second}},
		"an empty list is a list":            {`type Report @auth(roles: []) { a: Int }`, guard{roles: []user.Role{}}},
		"nulls are as good as nothing":       {`type Report @auth(roles: null, maxAge: null) { a: Int }`, guard{}},
		"a type that somebody else extended": {`type Report { a: Int } extend type Report @auth(roles: [ADMIN]) { b: Int }`, guard{roles: []user.Role{"ADMIN"}}},
	} {
		t.Run(reason, func(t *testing.T) {
			guards, err := guardedTypes(schemaOf(t, test.schema))
			if err != nil || len(guards) != 1 || !reflect.DeepEqual(guards["Report"], test.want) {
				t.Errorf("%+v, %v", guards, err)
			}
		})
	}
	if guards, err := guardedTypes(schemaOf(t, `type Report @auth(maxAge: 99999999999999999999) { a: Int }`)); err == nil {
		t.Errorf("an age that is no number: %+v", guards)
	}
	if guards, err := guardedTypes(schemaOf(t, `type Report { a: Int @auth }`)); err != nil || len(guards) != 0 {
		t.Errorf("gqlgen guards fields itself: %+v, %v", guards, err)
	}
}

func TestGuardTypesStandsBeforeEveryField(t *testing.T) {
	middleware := guardTypes(map[string]guard{"Report": {roles: []user.Role{user.RoleAdmin}}})
	for reason, test := range map[string]struct {
		object string
		req    *reqctx.Request
		want   error
	}{
		"a guarded type, the role":          {"Report", signedIn(user.RoleAdmin), nil},
		"a guarded type, another role":      {"Report", signedIn(user.RoleUser), ErrForbidden},
		"a guarded type, nobody":            {"Report", &reqctx.Request{AuthErr: session.ErrNoToken}, session.ErrNoToken},
		"another type":                      {"Open", &reqctx.Request{AuthErr: session.ErrNoToken}, nil},
		"a type whose name only looks like": {"ReportX", &reqctx.Request{AuthErr: session.ErrNoToken}, nil},
	} {
		t.Run(reason, func(t *testing.T) {
			ctx := graphql.WithFieldContext(reqctx.With(t.Context(), test.req), &graphql.FieldContext{Object: test.object})
			called := false
			_, err := middleware(ctx, func(context.Context) (any, error) { called = true; return nil, nil })
			if !errors.Is(err, test.want) || called != (test.want == nil) {
				t.Errorf("%v; called: %t", err, called)
			}
		})
	}
}

func TestTheSchemaIsNotTold(t *testing.T) {
	for reason, query := range map[string]string{
		"the schema":             "{ __schema { types { name } } }",
		"a type":                 `{ __type(name: "User") { name } }`,
		"under another name":     "{ x: __schema { types { name } } }",
		"next to something good": "{ me { id } ... on Query { __schema { types { name } } } }",
		"in a fragment":          "{ ...F } fragment F on Query { __schema { types { name } } }",
		"FieldsOnCorrectType":    "{ mee }",
		"a field of a type":      "{ me { emai } }",
		"KnownArgumentNames":     `mutation { logout(refreshTokn: "x") }`,
		"a directive's argument": "{ me @include(iff: true) { id } }",
		"KnownTypeNames":         "query Q($a: Use) { me { id } }",
		"a fragment's type":      "{ ...F } fragment F on Quer { me { id } }",
		"ValuesOfCorrectType":    `mutation { login(input: {email: "a", passwort: "b", delivery: BODIE}) { accessToken } }`,
		"ScalarLeafs":            "{ me }",
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			w := f.post(query, nil, "Accept: "+mediaResponse)
			r := decode(t, w)
			if w.Code != 400 || len(r.Errors) == 0 || r.Data != nil {
				t.Fatalf("status %d: %+v", w.Code, r)
			}
			for _, e := range r.Errors {
				if e.Extensions["code"] != "GRAPHQL_VALIDATION_FAILED" || strings.Contains(e.Message, "Did you mean") || strings.Contains(e.Message, "{ ... }") {
					t.Errorf("%+v", e)
				}
			}
			if strings.Contains(f.log.String(), "level=ERROR") {
				t.Errorf("logged as our fault: %s", &f.log)
			}
		})
	}
	f := newFixture(t, HandlerConfig{})
	if r := decode(t, f.post("{ __typename me { __typename } }", nil)); len(r.Errors) != 0 {
		t.Errorf("clients need __typename: %+v", r.Errors)
	}
}

func TestTheSchemaIsToldWhereSwitchedOn(t *testing.T) {
	f := newFixture(t, HandlerConfig{Introspection: true})
	if r := decode(t, f.post("{ __schema { queryType { name } } }", nil)); len(r.Errors) != 0 {
		t.Errorf("%+v", r.Errors)
	}
	if r := decode(t, f.post("{ mee { id } }", nil)); !strings.Contains(r.Errors[0].Message, "Did you mean") {
		t.Errorf("%+v", r.Errors)
	}
}
