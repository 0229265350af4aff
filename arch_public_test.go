package main

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"

	schema "github.com/vektah/gqlparser/v2/ast"

	"latchkey/internal/ratelimit"
)

// The rules for what leaves the server: errors, secrets and the schema.

func publicRules() map[string]archRule {
	return map[string]archRule{
		"every error has an answer": {checkErrors, []archBreak{
			{"internal/user/x.go", `package user; var ErrX = errors.New("user: x")`},
			{"internal/user/x.go", `package user; type X struct{}; func (x *X) Error() string { return "" }`},
			{"graph/error.go", "package graph"},
			{"internal/password/policy.go", "package password"}, // PolicyError is gone, its exception is not
		}},
		"every way out of a secret is known": {checkReveals, []archBreak{
			{"internal/event/x.go", "package event; func f(s token.Secret) string { return s.Reveal() }"},
			{"internal/login/x.go", "package login; func f(s token.Secret) any { return s.Reveal }"},
			{"graph/payload.go", "package graph"},
		}},
	}
}

// checkErrors wants every exported error in graph/error.go: a variable in table, a type in
// translate. A new one would otherwise be answered as INTERNAL.
func checkErrors(tree archTree) []string {
	told, found := tree.errorTable(), []string{}
	isError := func(f archFile, name string) {
		if name = f.syntax.Name.Name + "." + name; !f.test && !told[name] {
			found = append(found, name)
		}
	}
	tree.eachFunc(func(f archFile, fn *ast.FuncDecl) {
		if fn.Name.Name == "Error" && ast.IsExported(receiver(fn)) {
			isError(f, receiver(fn))
		}
	})
	tree.eachSpec(func(f archFile, _ *ast.GenDecl, spec ast.Spec) {
		if s, ok := spec.(*ast.ValueSpec); ok {
			for _, name := range s.Names {
				if name.IsExported() && isErrName(name.Name) {
					isError(f, name.Name)
				}
			}
		}
	})
	return exceptions{
		"config.ErrDone":             "start-up: --help was asked for",
		"config.Mistakes":            "start-up",
		"datadir.ErrSecretMissing":   "start-up",
		"password.ErrUnusableHash":   "login answers it as a wrong password",
		"password.PolicyError":       "signup makes it an *input.Error",
		"ratelimit.ErrInvalidCharge": "a mistake of ours: INTERNAL",
		"store.ErrNewerDatabase":     "start-up, the command migrate",
		"token.ErrAlgorithm":         "start-up, the command keys",
		"token.ErrDeviceInvalid":     "login takes the device for an unknown one",
		"token.ErrKeyConflict":       "the commands keys rotate and remove; the keyring reads again",
		"token.ErrNoKey":             "a mistake of ours: INTERNAL",
		"token.ErrOtherMaster":       "start-up, the command keys; later the keyring logs it",
		"token.ErrRefreshInvalid":    "session answers ErrEnded",
		"token.ErrUnknownKey":        "the command keys remove",
		"token.ErrUnsealable":        "the keyring makes it ErrOtherMaster",
		"token.ErrWeakMaster":        "start-up",
		"user.ErrInvalidEmail":       "signup makes it an *input.Error, login a wrong password",
		"user.ErrInvalidName":        "signup and profile make it an *input.Error",
		"user.ErrNotFound":           "login answers a wrong password, me and updateProfile ErrGone",
		"user.ErrUnknownRole":        "the command user create",
		"user.InputError":            "signup and profile make it an *input.Error",
	}.compare(found, "is not in graph/error.go")
}

func checkReveals(tree archTree) []string {
	var found []string
	tree.eachSelector("Reveal", func(f archFile, where, receiver string) {
		if f.dir != "internal/token" { // which holds the text anyway
			found = append(found, where+": "+receiver)
		}
	})
	return exceptions{
		"graph/payload.go authPayload: g.Access":         "the client's access token",
		"graph/payload.go authPayload: g.Refresh":        "the client's refresh token, with delivery BODY",
		"internal/httpserver/cookie.go Set: refresh":     "the client's refresh token, in the cookie",
		"internal/httpserver/cookie.go Remember: device": "the mark of a known device, in a cookie",
		"internal/datadir/datadir.go writeOnce: secret":  "the generated master secret, into its file",
		"commands.go createUser: plain":                  "the typed password, to be hashed",
	}.compare(found, "reveals a secret")
}

// --- The schema --------------------------------------------------------------------

func schemaRules() map[string]archRule {
	return map[string]archRule{
		"every root field says who may call it": {checkRootFields, []archBreak{
			{"graph/x.graphqls", "extend type Query { x: Int }"},
			{"graph/x.graphqls", "extend type Mutation { x: Int @auth @public }"},
			{"graph/x.graphqls", "extend type Subscription { x: Int }"},
		}},
		"every mutation says what limits it (R-25)": {checkLimits, []archBreak{
			{"graph/x.graphqls", "extend type Mutation { x: Int @public }"},
			{"graph/x.graphqls", `extend type Mutation { x: Int @public @limit(by: ["login-adress"]) }`},
			{"graph/x.graphqls", `extend type Query { x: Int @public @limit(by: ["x"]) }`},
		}},
		"a mutation that handles credentials has @credential, and only mutations have it (R-27)": credentialRule(),
		"no answer holds a hash, a secret or an unknown token (R-111)": {checkAnswers, []archBreak{
			{"graph/x.graphqls", "extend type User { passwordChangedAt: Time }"},
			{"graph/x.graphqls", "interface X { keyHash: String }"},
			{"graph/x.graphqls", "type X { totpSecret: String }"},
			{"graph/x.graphqls", "extend type User { resetToken: String }"},
		}},
		"nobody asks for another user (R-111)": {checkOwnership, []archBreak{
			{"graph/x.graphqls", "extend type Query { user(id: ID!): User @auth }"},
			{"graph/x.graphqls", "extend type Mutation { end(userId: ID!): Int @auth(maxAge: 60) }"},
			{"graph/x.graphqls", "input Of { owner: ID } extend type Mutation { end(of: Of!): Int @auth }"},
		}},
	}
}

// checkOwnership lets a root field name a user by an argument only if it is for a role.
func checkOwnership(tree archTree) (out []string) {
	s, err := tree.loadSchema()
	if err != nil {
		return []string{err.Error()}
	}
	naming := regexp.MustCompile(`(?i)user|owner|account|subject`)
	for _, root := range []*schema.Definition{s.Query, s.Mutation, s.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			auth := field.Directives.ForName("auth")
			if auth != nil && auth.Arguments.ForName("roles") != nil {
				continue
			}
			for _, argument := range field.Arguments {
				names := []string{argument.Name}
				for _, member := range s.Types[argument.Type.Name()].Fields { // of an input object
					names = append(names, member.Name)
				}
				picksUser := argument.Type.Name() == "ID" && field.Type.Name() == "User"
				if picksUser || slices.ContainsFunc(names, naming.MatchString) {
					out = append(out, root.Name+"."+field.Name+" takes "+argument.Name+": whose is it?")
				}
			}
		}
	}
	return out
}

func checkRootFields(tree archTree) (out []string) {
	s, err := tree.loadSchema()
	if err != nil {
		return []string{err.Error()}
	}
	for _, root := range []*schema.Definition{s.Query, s.Mutation, s.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			signedIn, anyone := field.Directives.ForName("auth") != nil, field.Directives.ForName("public") != nil
			if signedIn == anyone && !strings.HasPrefix(field.Name, "__") {
				out = append(out, root.Name+"."+field.Name+" needs either @auth or @public")
			}
		}
	}
	return out
}

func checkLimits(tree archTree) (out []string) {
	s, err := tree.loadSchema()
	if err != nil {
		return []string{err.Error()}
	}
	known := map[string]bool{}
	for _, p := range ratelimit.Policies() {
		known[p.Bucket] = true
	}
	for _, root := range []*schema.Definition{s.Query, s.Mutation, s.Subscription} {
		if root == nil {
			continue
		}
		for _, field := range root.Fields {
			limit := field.Directives.ForName("limit")
			if limit == nil && root == s.Mutation {
				out = append(out, field.Name+" says no @limit; an empty list is one too")
			}
			for _, bucket := range limitsOf(limit) {
				if !known[bucket] {
					out = append(out, field.Name+": there is no limit "+bucket)
				}
			}
		}
	}
	return out
}

func limitsOf(limit *schema.Directive) (buckets []string) {
	if limit == nil {
		return nil
	}
	for _, child := range limit.Arguments.ForName("by").Value.Children {
		buckets = append(buckets, child.Value.Raw)
	}
	return buckets
}

func checkAnswers(tree archTree) []string {
	s, err := tree.loadSchema()
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	telling := regexp.MustCompile(`(?i)password|hash|secret|token`)
	for _, def := range s.Types {
		for _, field := range def.Fields {
			if (def.Kind == schema.Object || def.Kind == schema.Interface) && telling.MatchString(field.Name) {
				found = append(found, def.Name+"."+field.Name)
			}
		}
	}
	return exceptions{
		"AuthPayload.accessToken":  "what signing in is for",
		"AuthPayload.refreshToken": "only with delivery BODY",
	}.compare(found, "is in an answer")
}
