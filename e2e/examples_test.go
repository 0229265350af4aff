package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// TestReadmeApps checks the types of what the README's page "Use it from your app" shows.
func TestReadmeApps(t *testing.T) {
	if os.Getenv(browserVariable) == "" {
		t.Skip("needs Node and packages: make test")
	}
	blocks := regexp.MustCompile("(?s)```tsx?\n(.*?)```").FindAllStringSubmatch(section(t, "## Use it from your app"), -1)
	if len(blocks) != 4 {
		t.Fatalf("%d blocks of TypeScript", len(blocks))
	}
	const ours = "import { auth, send, url } from './auth';\n"
	screen := "import { useSyncExternalStore } from 'react';\n" + ours + "declare function LogIn(): null;\ndeclare function Account(): null;\n" +
		blocks[3][1] + "export { App };\nexport const used = [send, url];\n"
	for name, library := range map[string]string{
		"apollo": "import { ApolloClient, HttpLink, InMemoryCache } from '@apollo/client';\n" + ours + blocks[1][1],
		"urql":   "import { cacheExchange, Client, fetchExchange } from 'urql';\n" + ours + blocks[2][1] + "export const used = auth;\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			example, err := filepath.Abs(filepath.Join("examples", name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(example, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "tsconfig.json"), `{"extends": "`+filepath.Join(example, "tsconfig.json")+`", "include": ["*.ts", "*.tsx"]}`)
			write(t, filepath.Join(dir, "auth.ts"), blocks[0][1])
			write(t, filepath.Join(dir, "library.ts"), library)
			write(t, filepath.Join(dir, "app.tsx"), screen)
			cmd := exec.CommandContext(t.Context(), filepath.Join(example, "node_modules/.bin/tsc"), "--noEmit")
			cmd.Dir = dir
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
