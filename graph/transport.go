package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"latchkey/graph/model"
	"latchkey/internal/reqctx"
	"latchkey/internal/session"
)

var errPanic = errors.New("graph: panic")

const (
	mediaJSON     = "application/json"
	mediaResponse = "application/graphql-response+json"
	mediaStream   = "text/event-stream"
	// maxErrors bounds an answer: a document of mistakes is told the first few.
	maxErrors = 20
	// operationTimeout bounds a query or a mutation, from the first byte of its body on.
	operationTimeout = 15 * time.Second

	unwritable = `{"errors":[{"message":"The answer could not be written.","extensions":{"code":"INTERNAL"}}]}`
)

// transport speaks GraphQL over HTTP. gqlgen's own repeats a request that is not JSON in its
// answer, password included, and misses some of the specification's SHOULDs.
type transport struct {
	exec     *executor.Executor
	sessions *session.Service
}

// refused is a request that is turned away before anything runs.
type refused struct {
	status  int
	message string
	allow   string // for 405
}

func (no *refused) answer(w http.ResponseWriter, r *http.Request) {
	if no.allow != "" {
		w.Header().Set("Allow", no.allow)
	}
	Refuse(w, r, no.status, no.message)
}

// ServeHTTP implements http.Handler.
func (t *transport) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	deadline := time.Now().Add(operationTimeout)
	media, streams := negotiate(r.Header.Values("Accept"))
	if media == "" && !streams {
		Refuse(w, r, http.StatusNotAcceptable, "Accept application/json or application/graphql-response+json.")
		return
	}
	params, no := readParams(r)
	if no != nil {
		no.answer(w, r)
		return
	}
	ctx := graphql.StartOperationTrace(r.Context())
	op, errs := t.exec.CreateOperationContext(ctx, params)
	if errs != nil {
		refuse(w, media, t.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs))
		return
	}
	if no := mismatch(r.Method, op.Operation.Operation, media, streams); no != nil {
		no.answer(w, r)
		return
	}
	if op.Operation.Operation == ast.Subscription {
		t.stream(w, r, op)
		return
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	handle, ctx := t.exec.DispatchOperation(ctx, op)
	write(w, media, http.StatusOK, handle(ctx))
}

// refuse answers a document that cannot run, which is the client's fault. Plain JSON says so in
// the body alone, because old clients drop the body of a 400 (GraphQL over HTTP, section 6.4).
func refuse(w http.ResponseWriter, media string, resp *graphql.Response) {
	switch media {
	case "": // it accepts nothing but a stream
		s := newEventStream(w, func() {})
		defer s.complete()
		s.next(resp)
	case mediaResponse:
		writeRefusal(w, media, http.StatusBadRequest, resp.Errors)
	default:
		writeRefusal(w, media, http.StatusOK, resp.Errors)
	}
}

// mismatch answers why an operation does not go with the way it was sent, or nil.
func mismatch(method string, operation ast.Operation, media string, streams bool) *refused {
	switch {
	case method == http.MethodGet && operation != ast.Query:
		return &refused{status: http.StatusMethodNotAllowed, message: "GET runs queries only. Send a " + string(operation) + " by POST.", allow: http.MethodPost}
	case operation == ast.Subscription && !streams:
		return &refused{status: http.StatusNotAcceptable, message: "A subscription is answered as server-sent events: send Accept: text/event-stream."}
	case operation != ast.Subscription && media == "":
		return &refused{status: http.StatusNotAcceptable, message: "Only subscriptions are answered as server-sent events: send Accept: application/json."}
	}
	return nil
}

func readParams(r *http.Request) (*graphql.RawParams, *refused) {
	switch r.Method {
	case http.MethodGet:
		return readQuery(r)
	case http.MethodPost:
		return readBody(r)
	}
	return nil, &refused{status: http.StatusMethodNotAllowed, message: "Use POST, or GET for queries.", allow: "GET, POST"}
}

func readQuery(r *http.Request) (*graphql.RawParams, *refused) {
	values := r.URL.Query()
	fields := map[string]json.RawMessage{}
	for _, name := range []string{"query", "operationName"} {
		if values.Has(name) {
			fields[name], _ = json.Marshal(values.Get(name))
		}
	}
	for _, name := range []string{"variables", "extensions"} {
		if text := values.Get(name); text != "" {
			fields[name] = json.RawMessage(text)
		}
	}
	return params(fields)
}

func readBody(r *http.Request) (*graphql.RawParams, *refused) {
	media, attributes, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset := attributes["charset"]; err != nil || media != mediaJSON || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return nil, &refused{status: http.StatusUnsupportedMediaType, message: "Send application/json in UTF-8."}
	}
	body, err := io.ReadAll(r.Body) // bounded by httpserver
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &refused{status: http.StatusRequestEntityTooLarge, message: "The request is too large."}
	case err != nil:
		return nil, &refused{status: http.StatusBadRequest, message: "The request could not be read."}
	// encoding/json would turn different invalid bytes into one and the same character.
	case !utf8.Valid(body):
		return nil, &refused{status: http.StatusBadRequest, message: "The request is not valid UTF-8."}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, &refused{status: http.StatusBadRequest, message: "The request is not a JSON object. Batches are not served."}
	}
	return params(fields)
}

// params checks the members of a request: query is a string, the others are optional and may
// be null. No message repeats a value.
func params(fields map[string]json.RawMessage) (*graphql.RawParams, *refused) {
	out := &graphql.RawParams{}
	for _, member := range []struct {
		name string
		dest any
	}{
		{"query", &out.Query}, {"operationName", &out.OperationName},
		{"variables", &out.Variables}, {"extensions", &out.Extensions},
	} {
		raw, present := fields[member.name]
		if !present {
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber() // a large integer must not become a float
		if !json.Valid(raw) || decoder.Decode(member.dest) != nil {
			return nil, &refused{status: http.StatusBadRequest, message: "The member " + member.name + " of the request has a wrong type."}
		}
	}
	if out.Query == "" {
		return nil, &refused{status: http.StatusBadRequest, message: "The request has no query."}
	}
	return out, nil
}

// negotiate picks the media type of an answer in one piece: the client's favourite of the two,
// application/json for one that does not say, "" if it takes neither; and it says whether the
// client takes a stream, which wants to be asked for by name.
func negotiate(accept []string) (best string, streams bool) {
	quality := 0.0
	all := strings.Join(accept, ",")
	if strings.TrimSpace(all) == "" {
		return mediaJSON, false
	}
	for item := range strings.SplitSeq(all, ",") {
		media, attributes, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := attributes["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		switch media {
		case "*/*", "application/*":
			media = mediaJSON
		case mediaJSON, mediaResponse:
		case mediaStream:
			streams = streams || q > 0
			continue
		default:
			continue
		}
		if q > quality {
			best, quality = media, q
		}
	}
	return best, streams
}

// mediaFor is the media type of a refusal, also to a client that takes none.
func mediaFor(r *http.Request) string {
	if media, _ := negotiate(r.Header.Values("Accept")); media != "" {
		return media
	}
	return mediaJSON
}

// Refuse answers a request that was turned away before anything ran, always with a GraphQL
// body. The message is for people and never repeats the request.
func Refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	out := &gqlerror.Error{Extensions: map[string]any{}}
	set(out, public{model.ErrorCodeBadRequest, message, ""})
	reqctx.From(r.Context()).Note(codeOf(out))
	writeRefusal(w, mediaFor(r), status, gqlerror.List{out})
}

// RefuseLimited answers RATE_LIMITED before anything ran.
func RefuseLimited(w http.ResponseWriter, r *http.Request, retryAfter time.Duration) {
	out := &gqlerror.Error{Extensions: map[string]any{}}
	limited(out, retryAfter)
	reqctx.From(r.Context()).Note(codeOf(out))
	writeRefusal(w, mediaFor(r), http.StatusTooManyRequests, gqlerror.List{out})
}

// RefuseInternal answers INTERNAL for a request whose handler panicked outside GraphQL.
func RefuseInternal(w http.ResponseWriter, r *http.Request) {
	out := &gqlerror.Error{Extensions: map[string]any{}}
	internal(reqctx.From(r.Context()).ID, out)
	writeRefusal(w, mediaJSON, http.StatusOK, gqlerror.List{out})
}

// writeRefusal writes errors without a data entry: nothing was executed.
func writeRefusal(w http.ResponseWriter, media string, status int, errs gqlerror.List) {
	body, err := json.Marshal(requestError{errs[:min(len(errs), maxErrors)]})
	send(w, media, status, errs, body, err)
}

// requestError is an answer of errors alone: a data entry would say that something ran.
type requestError struct {
	Errors gqlerror.List `json:"errors"`
}

func write(w http.ResponseWriter, media string, status int, resp *graphql.Response) {
	if resp == nil { // the request was cancelled; nobody reads this
		resp = &graphql.Response{}
	}
	resp.Errors = resp.Errors[:min(len(resp.Errors), maxErrors)]
	body, err := json.Marshal(resp)
	send(w, media, status, resp.Errors, body, err)
}

func send(w http.ResponseWriter, media string, status int, errs gqlerror.List, body []byte, err error) {
	if err != nil { // only a team's own scalar that writes no JSON
		status, body = http.StatusInternalServerError, []byte(unwritable)
	}
	wait := 0
	for _, e := range errs {
		if after, ok := e.Extensions["retryAfter"].(int); ok {
			wait = max(wait, after)
		}
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	w.Header().Set("Content-Type", media+"; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
