package graph

import (
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
)

// What one operation may ask for, with every fragment counted wherever it is spread.
// tokenLimit bounds the text of a document; fragments make a short text execute as a long one.
const (
	// maxDepth is the deepest field, a root field being 1. The introspection query of common
	// tools is 15 deep, and nothing in this schema is deeper than 3.
	maxDepth = 20
	// maxAliases is what a page of widgets needs. Aliases are the only way to run one field
	// many times.
	maxAliases = 30
	// maxRootFields bounds what runs at once in a query: each root field may ask the database.
	maxRootFields = 20
	// maxFields is twice what the introspection query of common tools has, 230.
	maxFields = 500
	// plenty is where sums stop growing, far beyond each limit.
	plenty = 1 << 20
)

// Our own rules of validation, whose messages repeat nothing.
const (
	ruleLimits        = "DocumentLimits"
	ruleCredential    = "OneCredential"
	ruleIntrospection = "NoIntrospection"
	// gqlparser's error for tokenLimit has neither a rule nor a type, only this text.
	tokensExceeded = "exceeded token limit"
)

// shape is the size of a selection set, with its fragments in their places.
type shape struct{ depth, aliases, roots, fields int }

// shapes holds the shape of each fragment, so that a fragment is looked at once however often
// it is spread: the check is no attack itself.
type shapes map[*ast.FragmentDefinition]shape

// of answers the shape of a selection set that has been walked by gqlparser. A cycle ends at
// the fragment that it began with; NoFragmentCycles refuses it.
func (known shapes) of(set ast.SelectionSet) shape {
	var sum shape
	for _, selection := range set {
		var s shape
		switch selection := selection.(type) {
		case *ast.Field:
			s = known.of(selection.SelectionSet)
			s.depth, s.fields, s.roots = s.depth+1, s.fields+1, 1
			if selection.Alias != selection.Name {
				s.aliases++
			}
		case *ast.InlineFragment:
			s = known.of(selection.SelectionSet)
		case *ast.FragmentSpread:
			s = known.fragment(selection.Definition)
		}
		sum = shape{
			depth:   max(sum.depth, s.depth),
			aliases: min(sum.aliases+s.aliases, plenty),
			roots:   min(sum.roots+s.roots, plenty),
			fields:  min(sum.fields+s.fields, plenty),
		}
	}
	return sum
}

func (known shapes) fragment(definition *ast.FragmentDefinition) shape {
	if definition == nil { // KnownFragmentNames refuses it
		return shape{}
	}
	s, isKnown := known[definition]
	if !isKnown {
		known[definition] = shape{} // for a cycle
		s = known.of(definition.SelectionSet)
		known[definition] = s
	}
	return s
}

// limitShape is a rule of validation: so a document in the cache is not measured again. It
// looks at every operation of a document, also at those that will not run.
func limitShape(observers *core.Events, addError core.AddErrFunc) {
	known := shapes{}
	observers.OnOperation(func(_ *core.Walker, operation *ast.OperationDefinition) {
		got := known.of(operation.SelectionSet)
		for _, limit := range []struct {
			got, most int
			message   string
		}{
			{got.depth, maxDepth, "An operation may be at most %d fields deep."},
			{got.aliases, maxAliases, "An operation may have at most %d aliases, its fragments' included."},
			{got.roots, maxRootFields, "An operation may have at most %d fields at its top, its fragments' included."},
			{got.fields, maxFields, "An operation may have at most %d fields, its fragments' included."},
		} {
			if limit.got > limit.most {
				addError(core.Message(limit.message, limit.most), core.At(operation.Position))
			}
		}
	})
}

// oneCredential is the rule that an operation has one field with @credential at most.
// Selections with the same response key are one field: GraphQL merges and runs them once.
// What @skip and @include say does not count, for it may change with each request.
func oneCredential(observers *core.Events, addError core.AddErrFunc) {
	observers.OnOperation(func(_ *core.Walker, operation *ast.OperationDefinition) {
		keys, seen := map[string]bool{}, map[*ast.FragmentDefinition]bool{}
		var collect func(ast.SelectionSet)
		collect = func(set ast.SelectionSet) {
			for _, selection := range set {
				switch selection := selection.(type) {
				case *ast.Field:
					if def := selection.Definition; def != nil && def.Directives.ForName("credential") != nil {
						keys[selection.Alias] = true
					}
				case *ast.InlineFragment:
					collect(selection.SelectionSet)
				case *ast.FragmentSpread:
					if def := selection.Definition; def != nil && !seen[def] {
						seen[def] = true
						collect(def.SelectionSet)
					}
				}
			}
		}
		collect(operation.SelectionSet)
		if len(keys) > 1 {
			addError(core.Message("An operation may sign up, log in, refresh or sign out once. Send such fields one by one."), core.At(operation.Position))
		}
	})
}
