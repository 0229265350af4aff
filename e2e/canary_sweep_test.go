package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey/internal/store/storetest"
	"latchkey/internal/token"
)

// The canary sweep: secrets that exist once in the world go into every
// position of a running server where a secret can stand, failures are provoked, and then
// whatever the server said, wrote or stored is searched for each of them, in pieces and in all
// encodings. canary_test.go has the server,
// canary_requests_test.go the positions.

// sweep collects secrets and the places where they must not be.
type sweep struct {
	t       *testing.T
	secrets []*secret
	places  []place
	needles map[[8]byte][]needle
}

// secret is a canary. It may be in the places whose names begin so, and must be in each, or the
// sweep does not look there; behind a question mark it need not.
type secret struct {
	name string
	may  []string
	seen map[string]bool
}

// needle is a piece of a secret in one of the forms that a leak can have.
type needle struct {
	text, form string
	of         *secret
}

type place struct{ name, text string }

const window = 12 // bytes: a leak of twice as many holds a whole one

// add seeks a value from now on.
func (s *sweep) add(name string, value []byte, may ...string) {
	if len(value) < 8 {
		s.t.Fatalf("%s is too short to be sought", name)
	}
	of := &secret{name: name, may: may, seen: map[string]bool{}}
	s.secrets = append(s.secrets, of)
	width := min(window, len(value))
	for at := 0; at < len(value); at += width {
		at = min(at, len(value)-width) // the last one is whole, too
		for text, form := range encodings(value[at : at+width]) {
			head := [8]byte([]byte(text))
			s.needles[head] = append(s.needles[head], needle{text, form, of})
		}
	}
}

// random makes a secret. Blanks and quotes are written differently by every encoding.
func (s *sweep) random(name string, may ...string) string {
	text := strings.ToLower(rand.Text() + rand.Text()[:10]) // three windows of plain letters
	s.add(name, []byte(text), may...)
	return text
}

// encodings are the forms of a piece, each with its name; equal ones have one.
func encodings(piece []byte) map[string]string {
	text := string(piece)
	quoted, _ := json.Marshal(text)
	out := map[string]string{
		strings.ToUpper(text):                  "in capitals",
		hex.EncodeToString(piece):              "hexadecimal",
		fmt.Sprintf("%X", piece):               "HEXADECIMAL",
		url.QueryEscape(text):                  "for a query",
		url.PathEscape(text):                   "for a path",
		html.EscapeString(text):                "in HTML",
		strings.Trim(string(quoted), `"`):      "in JSON",
		strings.Trim(strconv.Quote(text), `"`): "in Go",
		strings.Trim(fmt.Sprint(piece), "[]"):  "as %v of bytes",
		strings.ReplaceAll(strings.Trim(fmt.Sprint(piece), "[]"), " ", ","):               "as JSON of bytes",
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", piece), "[]byte{"), "}"): "as %#v of bytes",
	}
	// Of base64, what does not depend on the neighbours, for each place in a group of three.
	for shift, skip := range []int{0, 2, 3} {
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), piece...))
		encoded = encoded[skip : (len(piece)+shift)*8/6]
		out[strings.NewReplacer("+", "-", "/", "_").Replace(encoded)] = "base64url"
		out[encoded] = "base64"
	}
	out[text] = "plain"
	return out
}

// look is where a secret may be.
func (s *sweep) look(name, text string) { s.places = append(s.places, place{name, text}) }

// leaks answers each secret that is where it may not be, or is not where it must.
func (s *sweep) leaks() (out []string) {
	for _, p := range s.places {
		for at := range len(p.text) - 7 {
			for _, n := range s.needles[[8]byte([]byte(p.text[at:at+8]))] {
				if !strings.HasPrefix(p.text[at:], n.text) {
					continue
				}
				allowed := slices.IndexFunc(n.of.may, func(name string) bool { return strings.HasPrefix(p.name, strings.TrimPrefix(name, "?")) })
				if allowed >= 0 {
					n.of.seen[n.of.may[allowed]] = true
					continue
				}
				leak := fmt.Sprintf("%s (%s) is in: %s", n.of.name, n.form, p.name)
				if !slices.Contains(out, leak) {
					out = append(out, leak)
				}
			}
		}
	}
	for _, of := range s.secrets {
		for _, name := range of.may {
			if !of.seen[name] && !strings.HasPrefix(name, "?") {
				out = append(out, of.name+" should be in: "+name)
			}
		}
	}
	return out
}

var (
	accessInBody  = regexp.MustCompile(`"accessToken":"([^"]+)"`)
	refreshInBody = regexp.MustCompile(`"refreshToken":"([^"]+)"`)
	cookieInLine  = regexp.MustCompile(`^(?:refresh|device)=([^;]+);`)
)

// answered looks through an answer, except where tokens are rightly delivered: those become
// secrets themselves. Only who asks for delivery BODY gets a refresh token in the body.
func (s *sweep) answered(to string, a answer, inBody bool) {
	body := accessInBody.ReplaceAllStringFunc(string(a.body), func(m string) string {
		s.learnAccess(to, accessInBody.FindStringSubmatch(m)[1])
		return "[delivered]"
	})
	if inBody {
		body = refreshInBody.ReplaceAllStringFunc(body, func(m string) string {
			s.learnOpaque(to, refreshInBody.FindStringSubmatch(m)[1])
			return "[delivered]"
		})
	}
	var header strings.Builder
	for name, lines := range a.header {
		for _, line := range lines {
			if m := cookieInLine.FindStringSubmatch(line); name == "Set-Cookie" && m != nil {
				s.learnOpaque(to, m[1])
				line = strings.Replace(line, m[1], "[delivered]", 1)
			}
			header.WriteString(name + ": " + line + "\n")
		}
	}
	s.look("answer to "+to, fmt.Sprintf("%d\n%s\n%s", a.status, header.String(), body))
}

// learnAccess seeks the later claims and the signature; header and issuer are the same in all
// that the server signs.
func (s *sweep) learnAccess(of, text string) {
	parts := strings.Split(text, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		s.t.Fatal(err)
	}
	s.add("claims of the access token from "+of, []byte(parts[1][len(parts[1])/2:]))
	s.add("signature of the access token from "+of, signature)
}

// learnOpaque seeks the random part and the tag of a refresh token, the tag of a device's mark. In
// front of them are ids.
func (s *sweep) learnOpaque(of, text string) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 25+32 {
		s.t.Fatalf("%s is neither refresh token nor mark: %v", text, err)
	}
	s.add("refresh token or mark from "+of, raw[25:])
}

// learnStored seeks what the database keeps and nobody else may: hashes; and the private keys,
// which it keeps encrypted.
func (s *sweep) learnStored(db *storetest.Database, master token.Master) {
	asHex := map[string]string{"postgres": "encode(%s, 'hex')", "sqlite": "hex(%s)"}[db.Engine]
	column := func(name, table string) []string {
		return strings.Fields(db.Text(s.t, "SELECT "+name+" FROM "+table))
	}
	for _, hash := range column("password_hash", "users") {
		parts := strings.Split(hash, "$")
		raw, err := base64.RawStdEncoding.DecodeString(parts[len(parts)-1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.add("a password hash", raw, inTable(db.Engine, "users")...)
	}
	for _, text := range column(fmt.Sprintf(asHex, "secret_hash"), "sessions") {
		raw, _ := hex.DecodeString(text)
		s.add("a session's hash", raw, inTable(db.Engine, "sessions")...)
	}
	for _, id := range column("id", "signing_keys") {
		sealed, _ := hex.DecodeString(db.Text(s.t, "SELECT "+fmt.Sprintf(asHex, "sealed_key")+" FROM signing_keys WHERE id = '"+id+"'"))
		der, err := master.Open(token.PurposeSigningSeal, sealed, id)
		if err != nil {
			s.t.Fatal(err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			s.t.Fatal(err)
		}
		private, err := parsed.(*ecdsa.PrivateKey).Bytes()
		if err != nil {
			s.t.Fatal(err)
		}
		s.add("a private key", private)
	}
	for _, p := range []token.Purpose{token.PurposeRefreshTag, token.PurposeDeviceTag, token.PurposeSigningSeal, token.PurposeAccountKey, token.PurposeLimitKey} {
		for _, key := range master.Keys(p) {
			s.add("the key for "+string(p), key[:])
		}
	}
}

// inTable is where the content of a table is found.
func inTable(engine, table string) []string {
	if engine == "sqlite" {
		return []string{"table " + table, "file latchkey.db"}
	}
	return []string{"table " + table}
}

// lookAtStored looks through every column of every table, and through what lies on disk.
func (s *sweep) lookAtStored(db *storetest.Database, dataDir string) {
	tables, rows := "SELECT name FROM sqlite_master WHERE type = 'table'", "SELECT * FROM %s"
	if db.Engine == "postgres" {
		tables, rows = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'", "SELECT t::text FROM %s AS t"
		// What runs, and what ran last on each connection: values are part of some texts.
		s.look("pg_stat_activity", db.Text(s.t, "SELECT query, application_name FROM pg_stat_activity WHERE datname = current_database()"))
	}
	for _, table := range strings.Fields(db.Text(s.t, tables)) {
		s.look("table "+table, db.Text(s.t, fmt.Sprintf(rows, table)))
	}
	err := filepath.WalkDir(dataDir, func(path string, entry os.DirEntry, err error) error {
		if os.IsNotExist(err) || entry.IsDir() || entry.Name() == "secret" { // where the master secret belongs
			return nil
		}
		text, err := os.ReadFile(path)
		s.look("file "+entry.Name(), string(text))
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	if path := os.Getenv("LATCHKEY_TEST_POSTGRES_LOG"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Error(err)
		}
		s.look("Postgres' log", string(text))
	}
}

// A sweep that finds nothing proves something only if it would find.
func TestSweepFindsLeaks(t *testing.T) {
	const value = `kept "only" here & nowhere/else: 17+4=21`
	short := base64.StdEncoding.EncodeToString
	for form, text := range map[string]string{
		"as it is": value, "in the middle": "x" + value + "x", "half of it": value[:len(value)/2+5], "the other half": value[len(value)/2-5:],
		"hexadecimal": hex.EncodeToString([]byte(value)), "as Postgres prints bytes": fmt.Sprintf(`\x%x`, value),
		"for a query": url.QueryEscape(value), "for a path": url.PathEscape(value), "in HTML": html.EscapeString(value),
		"in JSON": string(must(json.Marshal(map[string]string{"a": value}))), "quoted by a log": strconv.Quote(value),
		"a struct": fmt.Sprintf("%v", struct{ A []byte }{[]byte(value)}), "a struct in Go": fmt.Sprintf("%#v", struct{ A []byte }{[]byte(value)}),
		"an array in JSON": string(must(json.Marshal([40]byte([]byte(value))))),
		"base64":           short([]byte(value)), "base64 behind one": short([]byte("x" + value)), "base64 behind two": short([]byte("xx" + value)),
		"base64url": base64.URLEncoding.EncodeToString([]byte("\xff\xfe" + value)), "Basic": short([]byte("ada:" + value)), "shouted": strings.ToUpper(value),
	} {
		t.Run(form, func(t *testing.T) {
			s := &sweep{t: t, needles: map[[8]byte][]needle{}}
			s.add("it", []byte(value))
			s.look("here", "something "+text+" else")
			s.look("there", "nothing of the kind, though kept")
			if got := s.leaks(); len(got) == 0 || strings.Contains(strings.Join(got, ""), "there") {
				t.Errorf("%q in %q", got, text)
			}
		})
	}
	s := &sweep{t: t, needles: map[[8]byte][]needle{}}
	s.add("it", []byte(value), "its place", "its other place")
	s.look("its place", value)
	if got := s.leaks(); len(got) != 1 || !strings.Contains(got[0], "its other place") {
		t.Errorf("%q", got)
	}
	s.answered("a cookie's answer", answer{header: http.Header{}, body: []byte(`{"refreshToken":"` + value + `"}`)}, false)
	if got := s.leaks(); !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "answer to a cookie's") }) {
		t.Errorf("a refresh token in a body that is not to have it goes unnoticed: %q", got)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
