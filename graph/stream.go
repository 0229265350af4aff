package graph

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
)

const (
	// heartbeat keeps proxies from taking a quiet stream for a dead one, and finds dead readers.
	heartbeat = 15 * time.Second
	// streamWrite is how long a reader may take for one event.
	streamWrite = 10 * time.Second
	comment     = ":\n\n"
)

// errNoStream: a subscription's resolver was called by something else than a stream.
var errNoStream = errors.New("graph: not in a stream")

// stream serves a subscription of any field for as long as its client's session may be served,
// whatever the field's resolver does.
func (t *transport) stream(w http.ResponseWriter, r *http.Request, op *graphql.OperationContext) {
	req := reqctx.From(r.Context())
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &subscription{cancel: cancel}
	// Before the answer begins, which is how a client knows that it will miss nothing.
	stop, err := t.sessions.Watch(req.Principal, s.sessionOver)
	out := newEventStream(w, cancel)
	defer out.complete()
	req.Note(rootFields(op)[0].Name)
	if err != nil {
		out.next(t.exec.DispatchError(graphql.WithOperationContext(ctx, op), gqlerror.List{gqlerror.Wrap(err)}))
		return
	}
	defer stop()
	handle, ctx := t.exec.DispatchOperation(context.WithValue(ctx, subscriptionKey{}, s), op)
	s.resolved()
	for resp := handle(ctx); resp != nil; resp = handle(ctx) {
		out.next(resp)
	}
}

// subscription is one operation that is being streamed.
type subscription struct {
	cancel context.CancelFunc

	mu         sync.Mutex
	isResolved bool                     // the resolver has been called
	events     chan *model.SessionEvent // nil unless it was the one of sessionEvents
	isOver     bool                     // the session may not be served any longer
	hasEnded   bool                     // because it has ended
}

type subscriptionKey struct{}

// sessionEvents answers the events of the session that the stream in ctx serves.
func sessionEvents(ctx context.Context) (<-chan *model.SessionEvent, error) {
	s, ok := ctx.Value(subscriptionKey{}).(*subscription)
	if !ok {
		return nil, errNoStream
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = make(chan *model.SessionEvent, 1) // nobody waits for a reader
	return s.events, nil
}

// resolved is called when the resolver has been, and sessionOver when the session must not be
// served any longer; whichever comes last ends the stream.
func (s *subscription) resolved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isResolved = true
	s.endIfOver()
}

func (s *subscription) sessionOver(hasEnded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isOver, s.hasEnded = true, hasEnded
	s.endIfOver()
}

func (s *subscription) endIfOver() {
	switch {
	case !s.isOver || !s.isResolved:
	case s.events == nil:
		s.cancel()
	default:
		if s.hasEnded {
			s.events <- &model.SessionEvent{Kind: model.SessionEventKindEnded}
		}
		close(s.events)
	}
}

// eventStream writes results as server-sent events, as GraphQL over SSE has it for "distinct
// connections": any number of `next`, each with a result, then `complete`. Refusals are results
// too: of any other answer clients see the status alone.
type eventStream struct {
	conn   *http.ResponseController
	cancel context.CancelFunc // for when nobody reads any more
	beat   *time.Timer

	mu sync.Mutex
	w  io.Writer // nil: it is over
}

// newEventStream begins an answer. Call complete before the handler returns.
func newEventStream(w http.ResponseWriter, cancel context.CancelFunc) *eventStream {
	s := &eventStream{conn: http.NewResponseController(w), cancel: cancel, w: w}
	w.Header().Set("Content-Type", mediaStream+"; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // or nginx holds events back
	w.WriteHeader(http.StatusOK)
	s.write(comment) // shows that the answer has begun
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat = time.AfterFunc(heartbeat, func() {
		if s.write(comment) {
			s.beat.Reset(heartbeat)
		}
	})
	return s
}

// next writes one result.
func (s *eventStream) next(resp *graphql.Response) {
	resp.Errors = resp.Errors[:min(len(resp.Errors), maxErrors)]
	body, err := json.Marshal(resp)
	if resp.Data == nil {
		body, err = json.Marshal(requestError{resp.Errors})
	}
	if err != nil { // only a team's own scalar that writes no JSON
		body = []byte(unwritable)
	}
	s.write("event: next\ndata: " + string(body) + "\n\n")
}

// complete writes the last event and lets nothing be written after it.
func (s *eventStream) complete() {
	s.write("event: complete\ndata:\n\n")
	s.beat.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = nil
}

// write reports whether the stream goes on.
func (s *eventStream) write(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return false
	}
	// In place of the server's own limit, which is for answers that end. (Its limit for reading
	// is over with the request's body.)
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamWrite)) // a test's writer may have none
	_, err := io.WriteString(s.w, text)
	if err == nil {
		err = s.conn.Flush()
	}
	if err != nil {
		s.w = nil
		s.cancel()
	}
	return err == nil
}

// oneStream refuses a subscription to nothing, which @skip can make of one, and to a field
// under two names: gqlparser lets both pass, and gqlgen takes them for a fault of ours.
type oneStream struct{}

// ExtensionName implements graphql.HandlerExtension.
func (oneStream) ExtensionName() string { return "OneStream" }

// Validate implements graphql.HandlerExtension.
func (oneStream) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext implements graphql.OperationContextMutator.
func (oneStream) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	if op.Operation.Operation == ast.Subscription && len(rootFields(op)) != 1 {
		return &gqlerror.Error{Message: "A subscription must select exactly one field.", Rule: "SingleFieldSubscriptions"}
	}
	return nil
}

// rootFields are the fields of a subscription after fragments, @skip and @include.
func rootFields(op *graphql.OperationContext) []graphql.CollectedField {
	return graphql.CollectFields(op, op.Operation.SelectionSet, []string{"Subscription"})
}
