package graph

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"latchkey/internal/reqctx"
)

// HandlerConfig says how much the API tells about itself.
type HandlerConfig struct {
	Introspection bool // the schema can be asked for, and mistakes are told by name, with suggestions
	Reasons       bool // SESSION_ENDED comes with its reason: in development only
}

const (
	// tokenLimit lets the IDE's introspection (under 200 tokens) and large operations through,
	// and bounds validation, which is quadratic in the worst case, to milliseconds.
	tokenLimit = 1000
	// cachedDocuments bounds the cache of parsed documents to about 30 MB at tokenLimit.
	cachedDocuments = 256
)

// NewHandler serves the API on one path: POST with JSON, and queries by GET; subscriptions as
// server-sent events. It is the handler of what httpserver has already let through.
func NewHandler(r *Resolver, log *slog.Logger, cfg HandlerConfig) (http.Handler, error) {
	schema := NewExecutableSchema(Config{
		Resolvers:  r,
		Directives: directives(),
	})
	guards, err := guardedTypes(schema.Schema())
	if err != nil {
		return nil, err
	}
	exec := executor.New(schema)
	exec.SetQueryCache(lru.New[*ast.QueryDocument](cachedDocuments))
	exec.SetParserTokenLimit(tokenLimit)
	exec.SetErrorPresenter(presenter(log, cfg))
	exec.SetRecoverFunc(func(ctx context.Context, panicked any) error {
		// The value may hold anything a resolver had in hand; its type and the stack are enough.
		log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", panicked), "stack", string(debug.Stack()))
		return errPanic
	})
	if cfg.Introspection {
		exec.SetDefaultRulesFn(documentRules)
		exec.Use(extension.Introspection{})
	} else {
		exec.SetDisableSuggestion(true)
		exec.SetDefaultRulesFn(discreetRules)
	}
	exec.Use(oneStream{})
	if len(guards) > 0 {
		exec.AroundFields(guardTypes(guards))
	}
	exec.AroundRootFields(func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
		reqctx.From(ctx).Note(graphql.GetRootFieldContext(ctx).Field.Name)
		return next(ctx)
	})
	return &transport{exec: exec, sessions: r.sessions}, nil
}

func directives() DirectiveRoot { return DirectiveRoot{Auth: auth, Public: open} }

// documentRules are what a document must obey.
func documentRules() *rules.Rules {
	r := rules.NewDefaultRules()
	r.AddRule(ruleLimits, limitShape)
	r.AddRule(ruleCredential, oneCredential)
	return r
}

// discreetRules cover what SetDisableSuggestion leaves out, and refuse to tell the
// schema: gqlgen does so too, but with an error like any other, in the middle of execution.
func discreetRules() *rules.Rules {
	r := documentRules()
	r.AddRule(ruleIntrospection, func(observers *core.Events, addError core.AddErrFunc) {
		observers.OnField(func(_ *core.Walker, field *ast.Field) {
			if field.Name == "__schema" || field.Name == "__type" {
				addError(core.Message("Introspection is switched off."), core.At(field.Position))
			}
		})
	})
	r.ReplaceRule("KnownArgumentNames", rules.KnownArgumentNamesRuleWithoutSuggestions.RuleFunc)
	r.ReplaceRule("KnownTypeNames", rules.KnownTypeNamesRuleWithoutSuggestions.RuleFunc)
	r.ReplaceRule("ValuesOfCorrectType", rules.ValuesOfCorrectTypeRuleWithoutSuggestions.RuleFunc)
	return r
}
