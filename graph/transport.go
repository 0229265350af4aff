package graph

import (
	"bytes"
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
)

var errPanic = errors.New("graph: panic")

const (
	mediaJSON     = "application/json"
	mediaResponse = "application/graphql-response+json"
	// maxErrors bounds an answer: a document of mistakes is told the first few.
	maxErrors = 20
)

// transport speaks GraphQL over HTTP. gqlgen's own repeats a request that is not JSON in its
// answer, password included, and misses some of the specification's SHOULDs.
type transport struct{ exec *executor.Executor }

// refused is a request that is turned away before anything runs.
type refused struct {
	status  int
	message string
	allow   string // for 405
}

// ServeHTTP implements http.Handler.
func (t *transport) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	media := negotiate(r.Header.Values("Accept"))
	if media == "" {
		Refuse(w, r, http.StatusNotAcceptable, "Accept application/json or application/graphql-response+json.")
		return
	}
	params, no := readParams(r)
	if no != nil {
		if no.allow != "" {
			w.Header().Set("Allow", no.allow)
		}
		Refuse(w, r, no.status, no.message)
		return
	}
	ctx := graphql.StartOperationTrace(r.Context())
	op, errs := t.exec.CreateOperationContext(ctx, params)
	if errs != nil {
		resp := t.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs)
		// A document that cannot run is the client's fault; plain JSON says so in the body
		// alone, because old clients drop the body of a 400 (GraphQL over HTTP, section 6.4).
		status := http.StatusOK
		if media == mediaResponse {
			status = http.StatusBadRequest
		}
		writeRefusal(w, media, status, resp.Errors)
		return
	}
	switch {
	case op.Operation.Operation == ast.Subscription:
		Refuse(w, r, http.StatusMethodNotAllowed, "Subscriptions are not served here.")
		return
	case r.Method == http.MethodGet && op.Operation.Operation != ast.Query:
		w.Header().Set("Allow", http.MethodPost)
		Refuse(w, r, http.StatusMethodNotAllowed, "GET runs queries only. Send a mutation by POST.")
		return
	}
	handle, ctx := t.exec.DispatchOperation(ctx, op)
	write(w, media, http.StatusOK, handle(ctx))
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

// negotiate picks the answer's media type: the client's favourite of the two, application/json
// for one that does not say, "" if it takes neither.
func negotiate(accept []string) string {
	best, quality := "", 0.0
	all := strings.Join(accept, ",")
	if strings.TrimSpace(all) == "" {
		return mediaJSON
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
		default:
			continue
		}
		if q > quality {
			best, quality = media, q
		}
	}
	return best
}

// mediaFor is the media type of a refusal, also to a client that takes none.
func mediaFor(r *http.Request) string {
	if media := negotiate(r.Header.Values("Accept")); media != "" {
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
	body, err := json.Marshal(struct {
		Errors gqlerror.List `json:"errors"`
	}{errs[:min(len(errs), maxErrors)]})
	send(w, media, status, errs, body, err)
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
		status, body = http.StatusInternalServerError, []byte(`{"errors":[{"message":"The answer could not be written.","extensions":{"code":"INTERNAL"}}]}`)
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
