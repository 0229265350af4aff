package graph

import (
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// The answer's media type is one of ours that the client takes.
func FuzzNegotiate(f *testing.F) {
	f.Add("application/json")
	f.Add("application/graphql-response+json; charset=utf-8, application/json; q=0.9")
	f.Add("text/html, */*;q=0.1")
	f.Add("application/json;q=0, application/*;q=NaN")
	f.Add(";;;,,,\"")
	f.Fuzz(func(t *testing.T, accept string) {
		got, streams := negotiate([]string{accept})
		if streams && !strings.Contains(strings.ToLower(accept), mediaStream) {
			t.Fatal("a stream that was not asked for by name")
		}
		switch got {
		case mediaJSON:
			if strings.TrimSpace(accept) != "" && !strings.Contains(strings.ToLower(accept), "*") && !strings.Contains(strings.ToLower(accept), "json") {
				t.Fatalf("%q", got)
			}
		case mediaResponse:
			if !strings.Contains(strings.ToLower(accept), "graphql-response+json") {
				t.Fatalf("%q", got)
			}
		case "":
		default:
			t.Fatalf("%q", got)
		}
		if refused, _ := negotiate([]string{accept + ";q=0"}); refused != "" && !strings.Contains(accept, ",") && !strings.Contains(accept, ";") && strings.TrimSpace(accept) != "" {
			t.Fatal("what the client refuses")
		}
	})
}

// fits reports whether a request was either taken apart or refused, and refused without a word
// of its own.
func fits(t *testing.T, query string, refusal *refused, request string) {
	t.Helper()
	switch {
	case (refusal == nil) == (query == ""):
		t.Fatalf("%q and %+v", query, refusal)
	case refusal == nil && !utf8.ValidString(query):
		t.Fatalf("%q is no UTF-8", query)
	case refusal != nil && (refusal.status < 400 || refusal.status > 499 || refusal.message == ""):
		t.Fatalf("%+v", refusal)
	case refusal != nil && len(request) > 40 && strings.Contains(refusal.message, request):
		t.Fatalf("%q repeats the request", refusal.message)
	}
}

func FuzzBody(f *testing.F) {
	f.Add("application/json", `{"query":"{ __typename }","variables":{"n":12345678901234567890},"operationName":null}`)
	f.Add(`application/json; charset="utf-8"`, `[{"query":"{ __typename }"}]`)
	f.Add("text/plain", "null")
	f.Add("application/json", `{"query":""}`)
	f.Add("application/json", "{\"query\":\"\xff\\ud800\"} x")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		r := httptest.NewRequest("POST", "/graphql", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		params, refusal := readParams(r)
		if params == nil {
			fits(t, "", refusal, body)
			return
		}
		fits(t, params.Query, refusal, body)
		if trimmed := strings.TrimSpace(body); trimmed[0] != '{' {
			t.Fatalf("a batch: %+v", params)
		}
	})
}

func FuzzQueryString(f *testing.F) {
	f.Add(`query=%7B__typename%7D&variables=%7B%22n%22%3A1%7D`)
	f.Add(`query={a}&query={b}&operationName=%00&extensions=[]`)
	f.Add(`variables=%zz;query`)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/graphql", nil)
		r.URL.RawQuery = query
		params, refusal := readParams(r)
		if params == nil {
			fits(t, "", refusal, query)
			return
		}
		fits(t, params.Query, refusal, query)
	})
}
