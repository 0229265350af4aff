package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

const (
	meBody      = `{"query":"{ me { id } }"}`
	loginBody   = `{"query":"mutation { login(input: {email: \"a@example.com\", password: \"` + canary + `\"}) { accessToken } }"}`
	contentJSON = "Content-Type: application/json"
)

func TestMethodsAndContentTypes(t *testing.T) {
	get := func(document string) string { return "/graphql?query=" + url.QueryEscape(document) }
	mutation := "mutation { login(input: {email: \"a\", password: \"b\"}) { accessToken } }"
	for reason, test := range map[string]struct {
		method, target, body, contentType string
		status                            int
		allow                             string
	}{
		"POST with JSON":                      {"POST", "/graphql", loginBody, "application/json", 200, ""},
		"the charset may be said":             {"POST", "/graphql", loginBody, "application/json; charset=UTF-8", 200, ""},
		"the type has no case":                {"POST", "/graphql", loginBody, "Application/JSON", 200, ""},
		"another charset":                     {"POST", "/graphql", loginBody, "application/json; charset=utf-16", 415, ""},
		"a form needs no preflight":           {"POST", "/graphql", loginBody, "application/x-www-form-urlencoded", 415, ""},
		"a file upload needs none either":     {"POST", "/graphql", loginBody, "multipart/form-data; boundary=x", 415, ""},
		"plain text needs none either":        {"POST", "/graphql", loginBody, "text/plain", 415, ""},
		"a document alone":                    {"POST", "/graphql", loginBody, "application/graphql", 415, ""},
		"the answer's type":                   {"POST", "/graphql", loginBody, "application/graphql-response+json", 415, ""},
		"no type":                             {"POST", "/graphql", loginBody, "", 415, ""},
		"a type that cannot be read":          {"POST", "/graphql", loginBody, "application/json; charset", 415, ""},
		"two types in one":                    {"POST", "/graphql", loginBody, "application/json, text/plain", 415, ""},
		"GET runs queries":                    {"GET", get("{ me { id } }"), "", "", 200, ""},
		"GET runs no mutation":                {"GET", get(mutation), "", "", 405, "POST"},
		"nor one that is chosen by name":      {"GET", get("query Q { me { id } } "+strings.Replace(mutation, "mutation", "mutation M", 1)) + "&operationName=M", "", "", 405, "POST"},
		"POST takes nothing from the address": {"POST", get("{ me { id } }"), "{}", "application/json", 400, ""},
		"GET takes nothing from the body":     {"GET", "/graphql", loginBody, "application/json", 400, ""},
		"HEAD":                                {"HEAD", get("{ me { id } }"), "", "", 405, "GET, POST"},
		"PUT":                                 {"PUT", "/graphql", loginBody, "application/json", 405, "GET, POST"},
		"DELETE":                              {"DELETE", "/graphql", loginBody, "application/json", 405, "GET, POST"},
		"OPTIONS that is no preflight":        {"OPTIONS", "/graphql", loginBody, "application/json", 405, "GET, POST"},
		"a word of somebody's own":            {"LOGIN", "/graphql", loginBody, "application/json", 405, "GET, POST"},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			headers := []string{"X-None: 1"}
			if test.contentType != "" {
				headers = append(headers, "Content-Type: "+test.contentType)
			}
			w := f.send(test.method, test.target, test.body, headers...)
			if w.Code != test.status || w.Header().Get("Allow") != test.allow {
				t.Errorf("status %d, Allow %q: %s", w.Code, w.Header().Get("Allow"), w.Body)
			}
			if ran := f.logins.calls > 0; ran != (test.status == 200 && test.body == loginBody) {
				t.Errorf("login ran: %t", ran)
			}
			if strings.Contains(w.Body.String(), canary) {
				t.Errorf("the request comes back: %s", w.Body)
			}
			if r := decode(t, w); test.status != 200 && (code(t, r) != "BAD_REQUEST" || r.Data != nil) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestAnswersFollowAccept(t *testing.T) { // R-104; GraphQL over HTTP, section 6
	const broken, unfit = `{"query":"{"}`, `{"query":"{ nothing }"}`
	for reason, test := range map[string]struct {
		accept            []string
		media             string
		failed, succeeded int
	}{
		"nothing said":                     {nil, mediaJSON, 200, 200},
		"an empty header":                  {[]string{""}, mediaJSON, 200, 200},
		"JSON":                             {[]string{"application/json"}, mediaJSON, 200, 200},
		"GraphQL's own":                    {[]string{"application/graphql-response+json"}, mediaResponse, 400, 200},
		"Apollo: both, its own first":      {[]string{"application/graphql-response+json,application/json;q=0.9"}, mediaResponse, 400, 200},
		"both alike: the first":            {[]string{"application/json, application/graphql-response+json"}, mediaJSON, 200, 200},
		"weights count, not places":        {[]string{"application/json;q=0.5, application/graphql-response+json;q=0.6"}, mediaResponse, 400, 200},
		"two headers are one list":         {[]string{"text/html", "application/graphql-response+json"}, mediaResponse, 400, 200},
		"curl: anything":                   {[]string{"*/*"}, mediaJSON, 200, 200},
		"any application":                  {[]string{"application/*"}, mediaJSON, 200, 200},
		"with a charset":                   {[]string{"application/graphql-response+json; charset=utf-8"}, mediaResponse, 400, 200},
		"garbage next to something good":   {[]string{";;;, application/json;q=x, application/graphql-response+json"}, mediaResponse, 400, 200},
		"a browser's address bar":          {[]string{"text/html,application/xml;q=0.9,*/*;q=0.8"}, mediaJSON, 200, 200},
		"HTML only":                        {[]string{"text/html"}, mediaJSON, 406, 406},
		"a stream is not for these":        {[]string{"text/event-stream, application/json;q=0.1"}, mediaJSON, 200, 200},
		"everything is expressly unwanted": {[]string{"*/*;q=0"}, mediaJSON, 406, 406},
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			headers := []string{contentJSON}
			for _, line := range test.accept {
				headers = append(headers, "Accept: "+line)
			}
			for body, want := range map[string]struct {
				status int
				code   string
			}{
				meBody: {test.succeeded, ""}, broken: {test.failed, "GRAPHQL_PARSE_FAILED"}, unfit: {test.failed, "GRAPHQL_VALIDATION_FAILED"},
			} {
				w := f.send("POST", "/graphql", body, headers...)
				if want.status == 406 {
					want.code = "BAD_REQUEST"
				}
				if w.Code != want.status || w.Header().Get("Content-Type") != test.media+"; charset=utf-8" {
					t.Errorf("%s: status %d, %s", body, w.Code, w.Header().Get("Content-Type"))
				}
				if hasData := bytes.Contains(w.Body.Bytes(), []byte(`"data"`)); hasData != (want.code == "") {
					t.Errorf("%s: a data entry says that something ran: %s", body, w.Body)
				}
				if got := code(t, decode(t, w)); got != want.code {
					t.Errorf("%s: %s, want %s", body, got, want.code)
				}
			}
		})
	}
}

// malformed requests carry the canary where it must not come back from.
func malformed() map[string]string {
	document := func(text string) string {
		body, _ := json.Marshal(map[string]string{"query": text})
		return string(body)
	}
	variables := func(text string) string {
		return `{"query":"mutation L($input: LoginInput!) { login(input: $input) { accessToken } }","variables":` + text + `}`
	}
	return map[string]string{
		"no JSON":                              canary,
		"half JSON":                            `{"query":"` + canary,
		"JSON with a comma behind":             `{"query":"` + canary + `",}`,
		"a batch":                              `[{"query":"` + canary + `"},{"query":"` + canary + `"}]`,
		"an empty batch":                       `[]`,
		"a batch of one login":                 "[" + loginBody + "]",
		"text":                                 `"` + canary + `"`,
		"null":                                 `null`,
		"a number":                             `1`,
		"nothing":                              ``,
		"two requests in one":                  loginBody + loginBody,
		"something behind":                     loginBody + canary,
		"invalid UTF-8":                        strings.Replace(loginBody, canary, canary+"\xff\xfe", 1),
		"a byte order mark":                    "\ufeff" + loginBody,
		"no query":                             `{"variables":{"password":"` + canary + `"}}`,
		"an empty query":                       `{"query":"","variables":{"password":"` + canary + `"}}`,
		"query is null":                        `{"query":null,"x":"` + canary + `"}`,
		"query is a number":                    `{"query":1,"x":"` + canary + `"}`,
		"query is an object":                   `{"query":{"password":"` + canary + `"}}`,
		"members have a case":                  `{"Query":"{ me { id } }","x":"` + canary + `"}`,
		"variables are text":                   variables(`"` + canary + `"`),
		"variables are a list":                 variables(`["` + canary + `"]`),
		"operationName is an object":           `{"query":"{ me { id } }","operationName":{"a":"` + canary + `"}}`,
		"no such operation":                    `{"query":"query Q { me { id } }","operationName":"` + canary + `"}`,
		"extensions are text":                  `{"query":"{ me { id } }","extensions":"` + canary + `"}`,
		"a document that does not parse":       document(`mutation { login(input: {password: "` + canary + `"`),
		"a string that does not end":           document(`{ me(x: "` + canary + ` ) }`),
		"a character nobody knows":             document(`{ me ` + "\x01" + canary + ` }`),
		"a literal where a number belongs":     document(`query($a: Int = "` + canary + `") { me { id } }`),
		"a literal where an object belongs":    document(`mutation { login(input: "` + canary + `") { accessToken } }`),
		"a literal where nothing belongs":      document(`{ me(password: "` + canary + `") { id } }`),
		"a literal in an unknown input field":  document(`mutation { login(input: {email: "a", password: "b", otp: "` + canary + `"}) { accessToken } }`),
		"a password without quotes":            document(`mutation { login(input: {email: "a", password: ` + canary + `}) { accessToken } }`),
		"an unknown enum value":                document(`mutation { login(input: {email: "a", password: "b", delivery: ` + canary + `}) { accessToken } }`),
		"a literal for a directive":            document(`{ me @include(if: "` + canary + `") { id } }`),
		"two fields that differ by the value":  document(`mutation { logout(refreshToken: "` + canary + `") logout(refreshToken: "x") }`),
		"a list where text belongs":            document(`mutation { logout(refreshToken: ["` + canary + `"]) }`),
		"a variable: an unknown enum value":    variables(`{"input":{"email":"a","password":"b","delivery":"` + canary + `"}}`),
		"a variable: an enum in other letters": variables(`{"input":{"email":"` + canary + `","password":"b","delivery":"cookie"}}`),
		"a variable: an unknown member":        variables(`{"input":{"email":"a","password":"b","` + canary + `":"c"}}`),
		"a variable: text for an object":       variables(`{"input":"` + canary + `"}`),
		"a variable: a list for text":          variables(`{"input":{"email":["` + canary + `"],"password":"b"}}`),
		"a variable: an object for text":       variables(`{"input":{"email":{"` + canary + `":1},"password":"b"}}`),
		"a variable: null for a password":      variables(`{"input":{"email":"` + canary + `","password":null}}`),
		"a variable: no password":              variables(`{"input":{"email":"` + canary + `"}}`),
		"a variable: none":                     variables(`{"` + canary + `":1}`),
	}
}

func TestMalformedRequestsAreRefusedWithoutEcho(t *testing.T) {
	for reason, body := range malformed() {
		for _, introspection := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, introspection %t", reason, introspection), func(t *testing.T) {
				f := newFixture(t, HandlerConfig{Introspection: introspection, Reasons: introspection})
				w := f.send("POST", "/graphql", body, contentJSON, "Accept: "+mediaResponse)
				if strings.Contains(w.Body.String(), canary) || strings.Contains(f.log.String(), canary) || strings.Contains(strings.Join(f.req.Notes(), " "), canary) {
					t.Errorf("the password comes back: %s\n%s", w.Body, &f.log)
				}
				r := decode(t, w)
				if len(r.Errors) == 0 || f.logins.calls != 0 {
					t.Fatalf("it ran: %+v", r)
				}
				for _, e := range r.Errors {
					switch c := e.Extensions["code"]; c {
					case "BAD_REQUEST", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED":
					default:
						t.Errorf("code %v, though it is the client's mistake", c)
					}
				}
				if w.Code != 400 && r.Data == nil && !strings.Contains(reason, "other letters") {
					t.Errorf("status %d", w.Code)
				}
				if strings.Contains(f.log.String(), "level=ERROR") {
					t.Errorf("a client's mistake is logged as ours: %s", &f.log)
				}
			})
		}
	}
}

func TestMalformedGET(t *testing.T) {
	for reason, query := range map[string]string{
		"nothing":                        "",
		"an empty query":                 "query=",
		"variables that are no JSON":     "query={me{id}}&variables=" + canary,
		"variables with something after": "query={me{id}}&variables={}}",
		"variables with more after":      "query={me{id}}&variables={}" + canary,
		"variables that are a list":      `query={me{id}}&variables=["` + canary + `"]`,
		"extensions that are no JSON":    "query={me{id}}&extensions=" + canary,
		"no such operation":              "query={me{id}}&operationName=" + canary,
		"a document that does not parse": "query=" + canary,
	} {
		t.Run(reason, func(t *testing.T) {
			f := newFixture(t, HandlerConfig{})
			w := f.send("GET", "/graphql?"+strings.ReplaceAll(query, " ", "+"), "", "Accept: "+mediaResponse)
			if w.Code != 400 || strings.Contains(w.Body.String()+f.log.String(), canary) {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
	f := newFixture(t, HandlerConfig{})
	w := f.send("GET", "/graphql?query=query+Q($x:Boolean!)+{me{id+name+@include(if:$x)}}&variables={%22x%22:false}&operationName=Q&extensions=", "")
	if r := decode(t, w); w.Code != 200 || len(r.Errors) != 0 || len(r.Data["me"].(map[string]any)) != 1 {
		t.Errorf("status %d: %+v", w.Code, r)
	}
}

func TestOptionalMembersMayBeNull(t *testing.T) {
	f := newFixture(t, HandlerConfig{})
	w := f.send("POST", "/graphql", `{"query":"{ me { id email emailVerified name roles createdAt } }","variables":null,"operationName":null,"extensions":null,"unknown":1}`, contentJSON)
	want := `{"data":{"me":{"id":"7b9e2f4c-1111-4222-8333-944455556666","email":"ada@example.com","emailVerified":false,"name":null,"roles":["USER"],"createdAt":"2026-01-02T02:04:05Z"}}}`
	if got := strings.TrimSpace(w.Body.String()); got != want {
		t.Errorf("%s", got)
	}
}

func TestTooLarge(t *testing.T) {
	f := newFixture(t, HandlerConfig{})
	w := f.post("{ me { id } }", map[string]string{"x": strings.Repeat(canary, 10_000)})
	if w.Code != 413 || code(t, decode(t, w)) != "BAD_REQUEST" {
		t.Errorf("status %d", w.Code)
	}
}

func TestTokenLimit(t *testing.T) {
	const most = (tokenLimit - 5) / 8
	for count, want := range map[int]string{most: "", most + 1: "BAD_REQUEST"} {
		f := newFixture(t, HandlerConfig{})
		w := f.post("{ me { "+strings.Repeat("id @include(if: true) ", count)+"} }", nil)
		r := decode(t, w)
		if got := code(t, r); got != want || (want != "" && r.Errors[0].Message != "A document may have at most 1000 tokens.") {
			t.Errorf("%d fields: %+v", count, r)
		}
	}
}

func TestFewErrorsOfMany(t *testing.T) {
	f := newFixture(t, HandlerConfig{})
	var document strings.Builder
	for i := range 200 {
		fmt.Fprintf(&document, "f%d ", i)
	}
	if r := decode(t, f.post("{"+document.String()+"}", nil)); len(r.Errors) != maxErrors {
		t.Errorf("%d errors", len(r.Errors))
	}
	if n := len(f.req.Notes()); n > 2*maxErrors {
		t.Errorf("%d words in the log", n)
	}
	w, many := httptest.NewRecorder(), make(gqlerror.List, 100)
	for i := range many {
		many[i] = gqlerror.Errorf("a list with a mistake in each element")
	}
	write(w, mediaJSON, http.StatusOK, &graphql.Response{Errors: many})
	if r := decode(t, w); len(r.Errors) != maxErrors {
		t.Errorf("%d errors", len(r.Errors))
	}
}
