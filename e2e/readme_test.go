package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeGuardedField plays the README's page "Add your own guarded field" in a copy of the
// source: the files it shows, the commands it names, and what it says of the result.
func TestReadmeGuardedField(t *testing.T) {
	t.Parallel()
	dir := copyOfSource(t)
	// Whoever has followed the page has these already.
	for _, name := range []string{"graph/notes.graphqls", "graph/notes.resolvers.go"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	page := section(t, "## Add your own guarded field")
	write(t, filepath.Join(dir, "graph/notes.graphqls"), block(t, page, "graphql"))
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	run("go", "generate", "./...")
	stub, err := os.ReadFile(filepath.Join(dir, "graph/notes.resolvers.go"))
	if err != nil || !strings.Contains(string(stub), "not implemented: Notes") {
		t.Fatalf("no stub: %v\n%s", err, stub)
	}
	write(t, filepath.Join(dir, "graph/notes.resolvers.go"), block(t, page, "go"))
	// What the page says of @auth on a type, however one gets at it.
	write(t, filepath.Join(dir, "graph/vault.graphqls"), "interface Treasure { content: String }\n"+
		"type Vault implements Treasure @auth(roles: [ADMIN]) { content: String }\n"+
		"extend type Query { vault: Treasure @public }\n")
	run("go", "generate", "./...")
	vault := filepath.Join(dir, "graph/vault.resolvers.go")
	stub, err = os.ReadFile(vault)
	if err != nil {
		t.Fatal(err)
	}
	filled := strings.Replace(string(stub), `panic(fmt.Errorf("not implemented: Vault - vault"))`, `content := "gold"; return &model.Vault{Content: &content}, nil`, 1)
	write(t, vault, strings.Replace(filled, "\t\"fmt\"\n", "", 1))
	run("go", "build", "-o", "latchkey", ".")
	run("go", "test", "-run", "TestArchitecture", ".")

	p, err := start(filepath.Join(dir, "latchkey"), []string{"LATCHKEY_ADDR=127.0.0.1:0", "LATCHKEY_DATA_DIR=" + filepath.Join(dir, "data")}, t.Output())
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	defer p.kill()
	ada := &client{cookies: map[string]string{}}
	if _, codes := ask(t, ada, p, signUpBody, map[string]any{"e": "ada@example.com"}); len(codes) > 0 {
		t.Fatal(codes)
	}
	answer, err := ada.gql(p.url, "{ notes }", nil)
	if err != nil || !regexp.MustCompile(`^{"data":{"notes":\["a note of [0-9a-f-]{36}"\]}}$`).Match(answer.body) {
		t.Errorf("signed in: %v %s", err, answer.body)
	}
	for why, test := range map[string]struct {
		caller   *client
		document string
		code     string
	}{
		"without a token":  {&client{}, "{ notes }", "UNAUTHENTICATED TOKEN_MISSING"},
		"without the role": {ada, "{ noteCount }", "FORBIDDEN"},
		"a guarded type":   {ada, "{ vault { content } }", "FORBIDDEN"},
	} {
		if _, codes := ask(t, test.caller, p, test.document, nil); !slices.Equal(codes, []string{test.code}) {
			t.Errorf("%s: %v", why, codes)
		}
	}
}

// What the README shows of a verifier is what is tested.
func TestReadmeVerifier(t *testing.T) {
	t.Parallel()
	code, err := os.ReadFile("examples/verify/node/verify.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if shown := block(t, section(t, "## Verify tokens in another service"), "js"); !strings.Contains(string(code), shown) {
		t.Errorf("not in examples/verify/node/verify.mjs:\n%s", shown)
	}
}

// copyOfSource copies what git knows of and what is new, without node_modules.
func copyOfSource(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skip("needs git and a checkout: make test")
	}
	dir := t.TempDir()
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // deleted, and git does not know yet
		}
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(content))
	}
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// section answers the README's text from a heading to the next.
func section(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), heading+"\n")
	if !found {
		t.Fatalf("README.md has no %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// block answers the first code block of a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "```"+language+"\n")
	if !found {
		t.Fatalf("no block of %s", language)
	}
	code, _, _ := strings.Cut(rest, "```")
	return code
}
