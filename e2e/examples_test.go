package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// appExamples are the examples that are apps in a browser.
var appExamples = []string{"apollo", "urql"}

// TestExamplesBuild checks the example apps, their GraphQL documents against schema.graphqls
// included, and builds them, as `npm run build` does for those who copy them.
func TestExamplesBuild(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Node and packages: make test")
	}
	for _, name := range appExamples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "npm", "run", "build", "--no-update-notifier")
			cmd.Dir = filepath.Join("examples", name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// TestExamplesAreShort: an example is read in one sitting, or it is a product.
func TestExamplesAreShort(t *testing.T) {
	for _, name := range appExamples {
		lines, files := 0, 0
		root := os.DirFS(filepath.Join("examples", name))
		err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() {
				if path == "node_modules" || path == "dist" {
					return fs.SkipDir
				}
				return nil
			}
			written := slices.Contains([]string{".ts", ".tsx", ".css", ".html"}, filepath.Ext(path))
			if written && path != "src/graphql-env.d.ts" {
				text, err := fs.ReadFile(root, path)
				lines += strings.Count(string(text), "\n")
				files++
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if files < 5 || lines >= 150 {
			t.Errorf("examples/%s has %d lines in %d files; it is to have under 150", name, lines, files)
		}
	}
}
