package web

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBundle checks that each dist is what its sources build, and runs the tests of the sources.
func TestBundle(t *testing.T) {
	if os.Getenv("LATCHKEY_TEST_BROWSER") == "" {
		t.Skip("needs Node and packages: make test")
	}
	t.Parallel()
	names := []string{"account", "client", "ide"}
	dir := t.TempDir()
	copyFiles(t, ".", dir) // all of them, for one builds upon another
	for _, name := range names {
		modules, err := filepath.Abs(filepath.Join(name, "node_modules"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(modules, filepath.Join(dir, name, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{{"run", "build"}, {"test"}} {
				cmd := exec.CommandContext(t.Context(), "npm", args...)
				cmd.Dir = filepath.Join(dir, name)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("npm %v: %v\n%s", args, err, out)
				}
			}
			built, err := os.ReadDir(filepath.Join(dir, name, "dist"))
			if err != nil || len(built) == 0 {
				t.Fatal(built, err)
			}
			for _, file := range built {
				path := filepath.Join(name, "dist", file.Name())
				want, err := os.ReadFile(filepath.Join(dir, path))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s is not what the sources build: cd internal/web/%s && npm ci && npm run build", path, name)
				}
			}
		})
	}
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(from), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() == "node_modules" {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, path), 0o755)
		}
		content, err := os.ReadFile(filepath.Join(from, path))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, path), content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
