package main

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"

	schema "github.com/vektah/gqlparser/v2/ast"
)

func credentialRule() archRule {
	return archRule{checkCredentials, []archBreak{
		{"graph/x.graphqls", "extend type Mutation { x(newPassword: String): Int @auth }"},
		{"graph/x.graphqls", "extend type Mutation { x(in: [X!]): Int @auth } input X { y: Y } input Y { x: X, resetToken: ID }"},
		{"graph/x.graphqls", "extend type Query { x: Int @public @credential }"},
		{"graph/x.graphqls", "extend type User { x: Int @credential }"},
		{"graph/x.resolvers.go", "package graph; func (r *mutationResolver) X() { signedOut(nil, 0, nil) }"},
		{"graph/x.resolvers.go", "package graph; func (r *mutationResolver) X() { _ = reqctx.From(nil).Refresh }"},
		{"schema.graphqls", "directive @credential on FIELD_DEFINITION type Query { x: Int } type Mutation { login: Int }"},
	}}
}

// checkCredentials wants @credential on a mutation that has a secret among its arguments, or
// whose resolver comes to the cookie or to the refresh token, by way of a function of graph or
// directly. The rule in graph/limits.go looks at root fields only, so the directive would do
// nothing elsewhere.
func checkCredentials(tree archTree) (out []string) {
	s, err := tree.loadSchema()
	if err != nil {
		return []string{err.Error()}
	}
	marked := map[string]bool{}
	for _, def := range s.Types {
		for _, field := range def.Fields {
			switch has := field.Directives.ForName("credential") != nil; {
			case has && def != s.Mutation:
				out = append(out, def.Name+"."+field.Name+" is no mutation")
			case has:
				marked[strings.ToLower(field.Name)] = true
			case def == s.Mutation && slices.ContainsFunc(field.Arguments, func(a *schema.ArgumentDefinition) bool {
				return takesSecret(s, a.Name, a.Type.Name(), map[string]bool{})
			}):
				out = append(out, field.Name+" takes a secret and has no @credential")
			}
		}
	}
	handling := tree.credentialFuncs()
	tree.eachFunc(func(f archFile, fn *ast.FuncDecl) {
		if f.dir == "graph" && receiver(fn) == "mutationResolver" && mentions(fn, handling) && !marked[strings.ToLower(fn.Name.Name)] {
			out = append(out, fn.Name.Name+" handles credentials and has no @credential")
		}
	})
	return out
}

func takesSecret(s *schema.Schema, name, typeName string, seen map[string]bool) bool {
	if regexp.MustCompile(`(?i)password|secret|token`).MatchString(name) {
		return true
	}
	if seen[typeName] {
		return false
	}
	seen[typeName] = true
	return slices.ContainsFunc(s.Types[typeName].Fields, func(f *schema.FieldDefinition) bool {
		return takesSecret(s, f.Name, f.Type.Name(), seen)
	})
}

// credentialFuncs are the functions of graph that come to the cookie, and what gives it away:
// the members of reqctx.Request.
func (tree archTree) credentialFuncs() map[string]bool {
	names := map[string]bool{".Cookies": true, ".Refresh": true}
	for before := 0; before < len(names); {
		before = len(names)
		tree.eachFunc(func(f archFile, fn *ast.FuncDecl) {
			if f.dir == "graph" && !f.test && fn.Recv == nil && mentions(fn, names) {
				names[fn.Name.Name] = true
			}
		})
	}
	return names
}

// mentions reports whether fn uses one of the names; a member's name begins with a dot.
func mentions(fn *ast.FuncDecl, names map[string]bool) (found bool) {
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			found = found || names["."+n.Sel.Name]
		case *ast.Ident:
			found = found || names[n.Name] && n != fn.Name
		}
		return true
	})
	return found
}
