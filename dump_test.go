package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

// nothing of what the database holds can be presented: as it is, in any usual encoding,
// or as what our own key for refresh tokens would make of it.
func TestDumpOpensNothing(t *testing.T) {
	for _, engine := range storetest.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, engine)
			p := serveBuilt(t, plainBinary, s.env...)
			ada := &client{cookies: map[string]string{}}
			ask(t, ada, p, signUpBody, map[string]any{"e": "ada@example.com"})
			genuine, _ := ask(t, ada, p, loginBody, map[string]any{"e": "ada@example.com", "p": "paper lantern quay"})
			genuine, codes := ask(t, ada, p, refreshBody, map[string]any{"t": genuine})
			if len(codes) > 0 {
				t.Fatal(codes)
			}
			db, done := s.open()
			defer done()
			dumped := dump(t, db)
			for _, column := range []string{"users.password_hash", "sessions.secret_hash", "signing_keys.sealed_key"} {
				if len(dumped[column]) == 0 {
					t.Fatalf("%s was not found: %v", column, slices.Sorted(maps.Keys(dumped)))
				}
			}
			tried := map[string]bool{}
			codec := token.NewRefreshCodec(s.master)
			for column, values := range dumped {
				for _, value := range values {
					for _, form := range append(encodings(value), derived(codec, value, dumped["sessions.id"])...) {
						if form != "" && !tried[form] {
							tried[form] = true
							present(t, p, column, form)
						}
					}
					if _, codes := ask(t, &client{}, p, loginBody, map[string]any{"e": "ada@example.com", "p": value}); !slices.Equal(codes, []string{"INVALID_CREDENTIALS"}) {
						t.Errorf("%s as a password: %v", column, codes)
					}
					ask(t, &client{}, p, "mutation($t: String!) { logout(refreshToken: $t) }", map[string]any{"t": value})
				}
			}
			t.Logf("%d columns, %d values presented", len(dumped), len(tried))
			if _, codes := ask(t, ada, p, refreshBody, map[string]any{"t": genuine}); len(codes) > 0 {
				t.Errorf("a session was harmed: %v", codes)
			}
			if _, codes := ask(t, ada, p, meField, nil); len(codes) > 0 {
				t.Errorf("a session was harmed: %v", codes)
			}
		})
	}
}

// present tries a value wherever a token is taken.
func present(t *testing.T, p *process, column, value string) {
	t.Helper()
	if _, codes := ask(t, &client{}, p, refreshBody, map[string]any{"t": value}); len(codes) != 1 || !strings.HasPrefix(codes[0], "SESSION_ENDED") {
		t.Errorf("%s as a refresh token: %v", column, codes)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) { // no header holds it
		return
	}
	if _, codes := ask(t, &client{cookies: map[string]string{"refresh": value}}, p, refreshField, nil); len(codes) != 1 || !strings.HasPrefix(codes[0], "SESSION_ENDED") {
		t.Errorf("%s as a cookie: %v", column, codes)
	}
	if _, codes := ask(t, &client{access: value}, p, meField, nil); len(codes) != 1 || !strings.HasPrefix(codes[0], "UNAUTHENTICATED") {
		t.Errorf("%s as an access token: %v", column, codes)
	}
}

// dump answers every value of every column of every table.
func dump(t *testing.T, db *storetest.Database) map[string][]string {
	t.Helper()
	tables := "SELECT name FROM sqlite_master WHERE type = 'table'"
	columns := "SELECT name FROM pragma_table_info('%s')"
	value := `CASE typeof(%[1]s) WHEN 'blob' THEN '\x' || hex(%[1]s) ELSE %[1]s END`
	if db.Engine == "postgres" {
		tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
		columns = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '%s'"
		value = "CAST(%s AS text)"
	}
	lines := func(query string) []string { return strings.Split(db.Text(t, query), "\n") }
	out := map[string][]string{}
	for _, table := range lines(tables) {
		for _, column := range lines(fmt.Sprintf(columns, table)) {
			for _, text := range lines(fmt.Sprintf("SELECT DISTINCT "+value+" FROM %s", column, table)) {
				if raw, err := hex.DecodeString(strings.TrimPrefix(text, `\x`)); err == nil && strings.HasPrefix(text, `\x`) {
					text = string(raw)
				}
				out[table+"."+column] = append(out[table+"."+column], text)
			}
		}
	}
	return out
}

// encodings are the forms in which a value may be mistaken for a secret.
func encodings(value string) []string {
	raw := []byte(value)
	out := []string{base64.RawURLEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), hex.EncodeToString(raw)}
	if id, err := uuid.Parse(value); err == nil {
		out = append(out, base64.RawURLEncoding.EncodeToString(id[:]))
	}
	return append(out, value, strings.ToValidUTF8(value, ""))
}

// derived are the refresh tokens that a thief of the key would make, with a value for the
// secret that only clients have.
func derived(codec token.RefreshCodec, value string, sessions []string) (out []string) {
	var random [32]byte
	if copy(random[:], value) < len(random) {
		return nil
	}
	for _, id := range sessions {
		for generation := range int64(3) {
			out = append(out, codec.Encode(token.Refresh{SessionID: uuid.MustParse(id), Generation: generation, Random: random}).Reveal())
		}
	}
	return out
}

// each credential opens what it is made for and nothing else.
func TestCredentialsDoNotCross(t *testing.T) {
	t.Parallel()
	p := serveBuilt(t, plainBinary, newSite(t, "sqlite").env...)
	kinds := map[string]func(body, cookie *client, refresh string) string{
		"access token":  func(body, _ *client, _ string) string { return body.access },
		"refresh token": func(_, _ *client, refresh string) string { return refresh },
		"cookie":        func(_, cookie *client, _ string) string { return cookie.cookies["refresh"] },
	}
	places := map[string]struct {
		takes []string
		try   func(value string) []string
	}{
		"Bearer": {[]string{"access token"}, func(value string) []string {
			_, codes := ask(t, &client{access: value}, p, meField, nil)
			return codes
		}},
		"refresh's argument": {[]string{"refresh token", "cookie"}, func(value string) []string {
			_, codes := ask(t, &client{}, p, refreshBody, map[string]any{"t": value})
			return codes
		}},
		"the refresh cookie": {[]string{"refresh token", "cookie"}, func(value string) []string {
			_, codes := ask(t, &client{cookies: map[string]string{"refresh": value}}, p, refreshField, nil)
			return codes
		}},
		"the password": {nil, func(value string) []string {
			_, codes := ask(t, &client{}, p, loginBody, map[string]any{"e": "ada@example.com", "p": value})
			return codes
		}},
		"a query's parameter": {nil, func(value string) []string {
			a, err := (&client{}).send(http.MethodGet, p.url+"/graphql?query=%7Bme%7Bemail%7D%7D&access_token="+value, http.Header{}, "")
			if err != nil {
				t.Error(err)
			}
			return a.codes()
		}},
	}
	body, cookie := &client{}, &client{cookies: map[string]string{}}
	refresh, codes := ask(t, body, p, signUpBody, map[string]any{"e": "ada@example.com"})
	if len(codes) > 0 {
		t.Fatal(codes)
	}
	if _, codes := ask(t, cookie, p, loginCookie, map[string]any{"e": "ada@example.com", "p": "paper lantern quay"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	for kind, value := range kinds {
		for place, try := range places {
			if codes := try.try(value(body, cookie, refresh)); (len(codes) == 0) != slices.Contains(try.takes, kind) {
				t.Errorf("%s as %s: %v", kind, place, codes)
			}
		}
	}
}
