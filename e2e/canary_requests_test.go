package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"latchkey/internal/token"
)

// signIn is the ordinary life of passwords and tokens.
func (c *canaries) signIn() {
	literal, variable, wrong := c.password("a password as a literal"), c.password("a password as a variable"), c.password("a wrong password")
	ada, bob, eve := newClient(), newClient(), newClient()
	document := `mutation { signUp(input: {email: "` + c.address + `", password: "` + quoted(literal) + `"}) { accessToken refreshToken } }`
	c.expect("", ada, "sign-up", `{"query":"`+quoted(document)+`"}`)
	inBody := `{"query":"mutation($i: SignUpInput!) { signUp(input: $i) { accessToken refreshToken } }","variables":{"i":{"email":"bob@example.com","password":"` + quoted(variable) + `","delivery":"BODY"}}}`
	first := c.expect("", bob, "sign-up in the body", inBody)
	c.expect("EMAIL_TAKEN", bob, "sign-up for a taken address", inBody)
	login := `{"query":"mutation($p: String!) { login(input: {email: \"` + c.address + `\", password: $p}) { accessToken refreshToken } }","variables":{"p":"%s"}}`
	c.expect("", ada, "login", fmt.Sprintf(login, quoted(literal)))
	for range 3 {
		c.expect("INVALID_CREDENTIALS", eve, "wrong password", fmt.Sprintf(login, quoted(wrong)))
	}
	// More than once where Redis was too slow to be waited for, and the process counts anew.
	for guesses := 0; !slices.Contains(c.post(eve, "one wrong password too many", fmt.Sprintf(login, quoted(wrong))).codes(), "RATE_LIMITED"); guesses++ {
		if guesses > 20 {
			c.t.Fatal("guesses are not limited")
		}
	}
	for _, tail := range []string{"", strings.Repeat("x", 300)} {
		c.expect("BAD_USER_INPUT", eve, "short or long password", `{"query":"mutation { signUp(input: {email: \"eve@example.com\", password: \"`+c.random("a password with a tail of "+tail)+tail+`\"}) { expiresIn } }"}`)
	}
	c.expect("INVALID_CREDENTIALS", eve, "password as address", fmt.Sprintf(strings.Replace(login, c.address, c.random("a password as an address")+"@example.com", 1), "x"))
	c.expect("BAD_USER_INPUT", eve, "password as address of a sign-up", `{"query":"mutation { signUp(input: {email: \"`+c.random("a password as a new address")+`\", password: \"x\"}) { expiresIn } }"}`)
	c.expect("", ada, "me", `{"query":"{ me { id email } }"}`)
	c.expect("", ada, "refresh", `{"query":"mutation { refresh { accessToken refreshToken } }"}`)
	presented := refreshInBody.FindStringSubmatch(string(first.body))[1]
	inArgument := `{"query":"mutation { refresh(refreshToken: \"%s\") { accessToken refreshToken } }"}`
	c.expect("", bob, "refresh in the body", fmt.Sprintf(inArgument, presented))
	if err := c.db.MakeOlder(time.Minute); err != nil {
		c.t.Fatal(err)
	}
	c.expect("SESSION_ENDED reuse", bob, "reuse", fmt.Sprintf(inArgument, presented))
	last := presented[len(presented)-1:]
	c.expect("SESSION_ENDED not_genuine", bob, "a changed refresh token", fmt.Sprintf(inArgument, presented[:50]+strings.ToUpper(presented[50:])))
	c.expect("SESSION_ENDED not_genuine", bob, "a refresh token cut off", fmt.Sprintf(inArgument, strings.TrimSuffix(presented, last)))
	c.expect("SESSION_ENDED not_genuine", bob, "an access token as refresh token", fmt.Sprintf(inArgument, ada.access))
	c.expect("SESSION_ENDED not_genuine", eve, "a stranger's refresh token", fmt.Sprintf(inArgument, token.NewRefreshCodec(must(token.ParseMaster(token.GenerateMaster().Reveal()))).Encode(token.NewRefresh([16]byte{7})).Reveal()))
	c.expect("SESSION_ENDED not_genuine", eve, "rubbish as refresh token", fmt.Sprintf(inArgument, c.random("rubbish as refresh token")))
	c.expect("", eve, "logout with a foreign token", `{"query":"mutation { logout(refreshToken: \"`+presented+`\") }"}`)
	for what, value := range map[string]string{
		"a changed access token": "Bearer " + ada.access[:len(ada.access)-8] + "AAAAAAAA", "a refresh token as access token": "Bearer " + presented,
		"a password as access token": "Bearer " + c.random("a password as access token"), "Basic": "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:"+c.random("a password in Basic"))),
		"no scheme": c.random("an Authorization of no scheme"), "Bearer twice": "Bearer " + c.random("a Bearer with blanks") + " x",
	} {
		got := c.post(newClient(), what, `{"query":"{ me { id } }"}`, "Authorization: "+value)
		if len(got.codes()) != 1 || !strings.HasPrefix(got.codes()[0], "UNAUTHENTICATED") {
			c.t.Errorf("%s: %s", what, got.body)
		}
	}
	c.expect("", ada, "revokeAll", `{"query":"mutation { revokeAll }"}`)
	c.expect("UNAUTHENTICATED SESSION_ENDED", ada, "an ended session", `{"query":"{ me { id } }"}`)
	c.expect("", ada, "logout", `{"query":"mutation { logout }"}`)
}

// expire presents an access token whose time is over, to a server that counts without Redis.
func (c *canaries) expire() {
	brief, err := start(must(binary()), append(slices.Clone(c.env), "LATCHKEY_ACCESS_TTL=1s", "LATCHKEY_REDIS_URL="), c.screen)
	if err != nil {
		c.t.Fatal(err)
	}
	lasting := c.server
	defer func() {
		_ = brief.signal(os.Interrupt)
		c.look("log of the second server", brief.log.String())
		c.server = lasting
	}()
	c.server = brief
	who := newClient()
	c.expect("", who, "sign-up for a second", `{"query":"mutation { signUp(input: {email: \"brief@example.com\", password: \"`+c.random("a brief password")+` that is long enough\"}) { accessToken } }"}`)
	waitFor(c.t, who, brief, "{ me { id } }", "UNAUTHENTICATED TOKEN_EXPIRED")
	c.expect("INVALID_CREDENTIALS", who, "wrong password, elsewhere", `{"query":"mutation { login(input: {email: \"`+c.address+`\", password: \"`+c.random("a wrong password, elsewhere")+`\"}) { expiresIn } }"}`)
	c.expect("UNAUTHENTICATED TOKEN_EXPIRED", who, "an expired access token", `{"query":"{ me { id } }"}`)
}

// mistakes are requests with a secret that cannot be used.
func (c *canaries) mistakes() {
	post := "POST /graphql application/json"
	for what, line := range map[string][2]string{
		"cut-off JSON":              {post, `{"query": "mutation { login(input: {password: \"CANARY\"`},
		"JSON with a tail":          {post, `{"query": "{ __typename }"} CANARY`},
		"a batch":                   {post, `[{"query":"{ __typename }","variables":{"password":"CANARY"}}]`},
		"a string":                  {post, `"CANARY"`},
		"another content type":      {"POST /graphql text/plain", `{"password":"CANARY"}`},
		"a form":                    {"POST /graphql application/x-www-form-urlencoded", `password=CANARY`},
		"a content type of secrets": {"POST /graphql application/CANARY", `{}`},
		"no UTF-8":                  {post, "{\"query\":\"\xffCANARY\"}"},
		"a body that is too large":  {post, `{"query":"CANARY ` + strings.Repeat("x", 70<<10) + `"}`},
		"a query that is a number":  {post, `{"query": 5, "variables": {"password":"CANARY"}}`},
		"a query that is a list":    {post, `{"query": ["CANARY"]}`},
		"variables that are text":   {post, `{"query":"{ __typename }","variables":"CANARY"}`},
		"extensions":                {post, `{"query":"{ __typename }","extensions":{"CANARY":{"CANARY":1}}}`},
		"an unknown member":         {post, `{"query":"{ __typename }","CANARY":"CANARY"}`},
		"a name of no operation":    {post, `{"query":"query a { __typename } query b { __typename }","operationName":"CANARY"}`},
		"an operation's name":       {post, `{"query":"query CANARY { __typename }","operationName":"CANARY"}`},
		"an unknown enum value":     {post, `{"query":"mutation { login(input: {email: \"a@b.c\", password: \"x\", delivery: CANARY}) { expiresIn } }"}`},
		"a password unquoted":       {post, `{"query":"mutation { login(input: {email: \"a@b.c\", password: CANARY}) { expiresIn } }"}`},
		"an enum in quotes":         {post, `{"query":"mutation { login(input: {email: \"a@b.c\", password: \"x\", delivery: \"CANARY\"}) { expiresIn } }"}`},
		"an unknown input field":    {post, `{"query":"mutation { login(input: {email: \"a@b.c\", password: \"x\", CANARY: \"CANARY\"}) { expiresIn } }"}`},
		"a misspelt input field":    {post, `{"query":"mutation { login(input: {email: \"a@b.c\", pasword: \"CANARY\"}) { expiresIn } }"}`},
		"a literal of another type": {post, `{"query":"mutation { login(input: {email: [\"CANARY\"], password: {secret: \"CANARY\"}}) { expiresIn } }"}`},
		"a string without its end":  {post, `{"query":"mutation { login(input: {password: \"CANARY }) { expiresIn } }"}`},
		"a block string":            {post, `{"query":"mutation { login(input: \"\"\"CANARY\"\"\") { expiresIn } }"}`},
		"a wrong escape":            {post, `{"query":"mutation { login(input: {password: \"\\qCANARY\"}) { expiresIn } }"}`},
		"a comment":                 {post, `{"query":"# CANARY\n{ __typename } }"}`},
		"an object for a string":    {post, `{"query":"mutation($p: String!) { login(input: {email: \"a@b.c\", password: $p}) { expiresIn } }","variables":{"p":{"nested":"CANARY"}}}`},
		"a list for a string":       {post, `{"query":"mutation($p: String!) { login(input: {email: \"a@b.c\", password: $p}) { expiresIn } }","variables":{"p":["CANARY"]}}`},
		"a string for an enum":      {post, `{"query":"mutation($d: RefreshTokenDelivery!) { login(input: {email: \"a@b.c\", password: \"x\", delivery: $d}) { expiresIn } }","variables":{"d":"CANARY"}}`},
		"a string for an object":    {post, `{"query":"mutation($i: LoginInput!) { login(input: $i) { expiresIn } }","variables":{"i":"CANARY"}}`},
		"an unknown variable field": {post, `{"query":"mutation($i: LoginInput!) { login(input: $i) { expiresIn } }","variables":{"i":{"email":"a@b.c","password":"x","CANARY":1}}}`},
		"a misspelt variable field": {post, `{"query":"mutation($i: LoginInput!) { login(input: $i) { expiresIn } }","variables":{"i":{"email":"a@b.c","pasword":"CANARY"}}}`},
		"a variable too many":       {post, `{"query":"{ __typename }","variables":{"CANARY":"CANARY"}}`},
		"a subscription":            {post, `{"query":"subscription { sessionEvents { kind(password: \"CANARY\") } }"}`},
		"a password in a GET":       {"GET /graphql?query=mutation{login(input:{email:%22a%22,password:%22CANARY%22}){expiresIn}} -", ""},
		"a variable in a GET":       {"GET /graphql?query={__typename}&variables={%22password%22:%22CANARY%22} -", ""},
		"variables that are none":   {"GET /graphql?query={__typename}&variables=CANARY -", ""},
		"a token in a GET":          {"GET /graphql?query={me{id}}&access_token=CANARY -", ""},
		"a token for another page":  {"GET /readyz?token=CANARY -", ""},
		"a method":                  {"PUT /graphql application/json", `{"query":"CANARY"}`},
	} {
		put := strings.NewReplacer("CANARY", c.random(what)).Replace
		form := strings.Fields(put(line[0]))
		c.send(newClient(), what, form[0], form[1], put(line[1]), "Content-Type: "+form[2])
	}
}

// names are what a program calls things in a document. GraphQL's answers repeat them, to who
// sent them and nowhere else: an alias because that is what it is for, others where one of them
// is the mistake.
func (c *canaries) names() {
	for what, document := range map[string]string{
		"an alias":                  "{ CANARY: __typename }",
		"an unknown argument":       "mutation { refresh(CANARY: 1) { expiresIn } }",
		"an alias that fails":       "{ CANARY: me { id } }",
		"an operation's name twice": "query CANARY { __typename } query CANARY { __typename }",
		"an unknown fragment":       "{ ...CANARY }",
		"a variable not declared":   "mutation { logout(refreshToken: $CANARY) }",
		"an unused fragment":        "{ __typename } fragment CANARY on User { id }",
		"an unknown type":           "query($p: CANARY) { __typename }",
		"an unknown directive":      "{ __typename @CANARY }",
		"an unknown field":          "{ CANARY }",
		"an unknown subscription":   "subscription { CANARY }",
	} {
		optional := "?"
		if strings.Contains(what, "alias") {
			optional = ""
		}
		value := "a" + c.random(what, optional+"answer to "+what)
		c.post(newClient(), what, `{"query":"`+strings.ReplaceAll(document, "CANARY", value)+`"}`)
	}
}

// headers are positions in which a person or a program may paste a secret.
func (c *canaries) headers() {
	for _, name := range []string{
		"Cookie", "X-Forwarded-For", "Forwarded", "Referer", "Accept", "Accept-Language", "Content-Encoding", "X-Api-Key", "X-Request-Id",
		"Traceparent", "Sec-Fetch-Site", "If-None-Match", "Proxy-Authorization", "X-Real-Ip", "Graphql-Require-Preflight",
	} {
		value := c.random("a header " + name)
		for _, text := range []string{value, "refresh=" + value, "a=" + value + "; refresh=" + value} {
			c.post(newClient(), "header "+name, `{"query":"mutation { refresh { accessToken } }"}`, name+": "+text)
		}
	}
	value := c.random("a header asked for")
	c.send(newClient(), "preflight", http.MethodOptions, "/graphql", "", "Origin: http://localhost:5173", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: "+value)
	c.send(newClient(), "preflight of a stranger", http.MethodOptions, "/graphql", "", "Origin: https://evil.example.com", "Access-Control-Request-Method: "+value)
	// Not secrets, but told to the operator: what page was refused, and what is asked for in vain.
	c.post(newClient(), "origin", `{"query":"{ __typename }"}`, "Origin: https://"+c.random("a refused origin", "log"))
	c.send(newClient(), "path", http.MethodGet, "/"+c.random("a path", "log"), "")
}

// rawBytes are requests that no client library would send.
func (c *canaries) rawBytes() {
	for what, text := range map[string]string{
		"a bad header":   "POST /graphql HTTP/1.1\r\nHost: localhost\r\nbad header CANARY\r\n\r\n",
		"a bad version":  "GET /graphql?password=CANARY HTTP/9\r\nHost: localhost\r\n\r\n",
		"no request":     "CANARY\r\n\r\n",
		"a bad length":   "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: CANARY\r\n\r\n",
		"a large header": "GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: CANARY" + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"a bad escape":   "GET /graphql?a=%zzCANARY HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(c.server.url, "http://"))
		if err != nil {
			c.t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, strings.ReplaceAll(text, "CANARY", c.random(what)))
		reply, _ := io.ReadAll(conn) // until the server hangs up
		c.look("answer to "+what, string(reply))
		_ = conn.Close()
	}
}

// pages are what everybody may read.
func (c *canaries) pages() {
	for _, path := range []string{"/healthz", "/readyz", "/.well-known/jwks.json", "/.well-known/openid-configuration", "/revocations", "/", "/ide/ide.js", "/ide/ide.css"} {
		if a := c.send(newClient(), "page "+path, http.MethodGet, path, ""); a.status != http.StatusOK {
			c.t.Errorf("%s: %d", path, a.status)
		}
	}
}
