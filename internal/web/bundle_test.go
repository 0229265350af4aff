package web

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBundle checks that dist is what its sources build, and runs the tests of the sources.
func TestBundle(t *testing.T) {
	if os.Getenv("LATCHKEY_TEST_BROWSER") == "" {
		t.Skip("needs Node and the packages of internal/web/ide: make test")
	}
	modules, err := filepath.Abs("ide/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyFiles(t, "ide", dir)
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"test"}, {"run", "build"}} {
		cmd := exec.CommandContext(t.Context(), "npm", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm %v: %v\n%s", args, err, out)
		}
	}
	built, err := os.ReadDir(filepath.Join(dir, "dist"))
	if err != nil || len(built) == 0 {
		t.Fatal(built, err)
	}
	for _, file := range built {
		want, err := os.ReadFile(filepath.Join(dir, "dist", file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join("ide/dist", file.Name())); err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what the sources build: cd internal/web/ide && npm ci && npm run build", file.Name())
		}
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
