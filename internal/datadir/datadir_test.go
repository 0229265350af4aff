package datadir_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"latchkey/internal/datadir"
	"latchkey/internal/token"
)

func master(t *testing.T, path string) (token.Master, string, error) {
	t.Helper()
	dir, err := datadir.Open(path)
	if err != nil {
		return token.Master{}, "", err
	}
	var log bytes.Buffer
	m, err := dir.Master(slog.New(slog.NewTextHandler(&log, nil)))
	return m, log.String(), err
}

// made once, by whoever comes first, and kept.
func TestMasterIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "data")
	var mu sync.Mutex
	keys := map[[32]byte]bool{}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			m, log, err := master(t, path)
			if err != nil || log != "" {
				t.Error(err, log)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			keys[m.Derive(token.PurposeRefreshTag)] = true
		})
	}
	group.Wait()
	if len(keys) != 1 {
		t.Errorf("%d secrets", len(keys))
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for name, want := range map[string]os.FileMode{path: 0o700, filepath.Join(path, "secret"): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestMasterTells(t *testing.T) {
	for reason, test := range map[string]struct {
		secret, database string
		mode             os.FileMode
		err              error
		log              string
	}{
		"a database whose secret is lost, and makes no other": {"", "x", 0, datadir.ErrSecretMissing, ""},
		"a secret that is none":                               {"short", "", 0o600, token.ErrWeakMaster, ""},
		"a secret that others can read":                       {token.GenerateMaster().Reveal(), "x", 0o644, nil, "chmod 600"},
	} {
		t.Run(reason, func(t *testing.T) {
			path := t.TempDir()
			if test.secret != "" {
				if err := os.WriteFile(filepath.Join(path, "secret"), []byte(test.secret), test.mode); err != nil {
					t.Fatal(err)
				}
			}
			if test.database != "" {
				if err := os.WriteFile(filepath.Join(path, "latchkey.db"), []byte(test.database), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, log, err := master(t, path)
			if !errors.Is(err, test.err) || !strings.Contains(log, test.log) || (test.log == "") != (log == "") {
				t.Errorf("%v; log %q", err, log)
			}
			if err != nil && test.secret != "" && strings.Contains(err.Error(), test.secret) {
				t.Errorf("the secret is told: %v", err)
			}
			if _, err := os.Stat(filepath.Join(path, "secret")); test.secret == "" && err == nil {
				t.Error("a new secret took the place of the lost one")
			}
		})
	}
}

func TestOpenTellsWhatIsInTheWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := datadir.Open(filepath.Join(file, "data")); err == nil || !strings.Contains(err.Error(), "LATCHKEY_DATA_DIR") {
		t.Errorf("%v", err)
	}
}
