package graph

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
	"latchkey/internal/user"
)

// guard is what @auth asks of a caller.
type guard struct {
	roles  []user.Role // any of them; nil: every signed-in user; an empty list: nobody
	maxAge *int        // seconds since the last proof of identity; nil: any
}

// check answers nil or why the caller may not pass.
func (g guard) check(ctx context.Context) error {
	req := reqctx.From(ctx)
	if req.AuthErr != nil {
		return req.AuthErr
	}
	if req.Principal.UserID == uuid.Nil { // nobody has looked: fail closed
		return session.ErrNoToken
	}
	isHeld := func(r user.Role) bool { return slices.Contains(req.Principal.Roles, r) }
	if g.roles != nil && !slices.ContainsFunc(g.roles, isHeld) {
		return ErrForbidden
	}
	if g.maxAge != nil && time.Since(req.Principal.AuthTime) > time.Duration(*g.maxAge)*time.Second {
		return ErrReauthenticate
	}
	return nil
}

// auth is @auth on a field.
func auth(ctx context.Context, _ any, next graphql.Resolver, roles []model.Role, maxAge *int) (any, error) {
	if err := (guard{roles: userRoles(roles), maxAge: maxAge}).check(ctx); err != nil {
		return nil, err
	}
	return next(ctx)
}

// open is @public: a word for the reader, and for the test that every root field has one.
func open(ctx context.Context, _ any, next graphql.Resolver) (any, error) { return next(ctx) }

// guardedTypes reads @auth on object types. gqlgen enforces it where a field returns such a
// type, and not where one comes out of an interface or a union.
func guardedTypes(schema *ast.Schema) (map[string]guard, error) {
	guards := map[string]guard{}
	for name, def := range schema.Types {
		directive := def.Directives.ForName("auth")
		if directive == nil || def.Kind != ast.Object {
			continue
		}
		var g guard
		if roles := directive.Arguments.ForName("roles"); roles != nil && roles.Value.Kind != ast.NullValue {
			g.roles = []user.Role{}
			if roles.Value.Kind == ast.EnumValue { // GraphQL takes one value for a list of one
				g.roles = []user.Role{user.Role(roles.Value.Raw)}
			}
			for _, child := range roles.Value.Children {
				g.roles = append(g.roles, user.Role(child.Value.Raw))
			}
		}
		if maxAge := directive.Arguments.ForName("maxAge"); maxAge != nil && maxAge.Value.Kind != ast.NullValue {
			n, err := strconv.Atoi(maxAge.Value.Raw)
			if err != nil {
				return nil, fmt.Errorf("graph: maxAge of type %s: %w", name, err)
			}
			g.maxAge = &n
		}
		guards[name] = g
	}
	return guards, nil
}

// guardTypes enforces guards on every field of their types.
func guardTypes(guards map[string]guard) graphql.FieldMiddleware {
	return func(ctx context.Context, next graphql.Resolver) (any, error) {
		if g, guarded := guards[graphql.GetFieldContext(ctx).Object]; guarded {
			if err := g.check(ctx); err != nil {
				return nil, err
			}
		}
		return next(ctx)
	}
}
