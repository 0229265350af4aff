// Package datadir keeps what an installation has on disk: readable by its owner alone.
package datadir

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"latchkey/internal/token"
)

// ErrSecretMissing: there is a database, but not the master secret that belongs to it.
var ErrSecretMissing = errors.New("datadir: there is a database in the data directory, but not its master secret")

// Dir is a data directory.
type Dir struct{ path string }

// Open makes the directory if there is none.
func Open(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return Dir{}, fmt.Errorf("cannot use the data directory: %w (set LATCHKEY_DATA_DIR)", err)
	}
	return Dir{path}, nil
}

// Database is the path of the SQLite file.
func (d Dir) Database() string { return filepath.Join(d.path, "latchkey.db") }

// Master answers the master secret, and makes one if there is neither one nor a database. Make
// it before the database, whatever the command: one without the other is a loss to be told.
// Errors: ErrSecretMissing, token.ErrWeakMaster, or the file system's.
func (d Dir) Master(log *slog.Logger) (token.Master, error) {
	path := filepath.Join(d.path, "secret")
	// In this order: whoever starts beside us writes the secret before the database.
	_, err := os.Stat(d.Database())
	hasDatabase := err == nil
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().Perm()&0o077 != 0:
		log.Warn("the master secret can be read by others: chmod 600", "file", path)
	case err != nil && hasDatabase:
		return token.Master{}, fmt.Errorf("%w: restore %s", ErrSecretMissing, path)
	case err != nil:
		if err := writeOnce(path, token.GenerateMaster()); err != nil {
			return token.Master{}, fmt.Errorf("cannot write to the data directory: %w (set LATCHKEY_DATA_DIR)", err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return token.Master{}, fmt.Errorf("cannot read the master secret: %w", err)
	}
	master, err := token.ParseMaster(string(text))
	if err != nil {
		return token.Master{}, fmt.Errorf("%s: %w", path, err)
	}
	return master, nil
}

// writeOnce creates a file that only its owner can read. Of processes that start together one
// wins, and nobody ever sees half a file.
func writeOnce(path string, secret token.Secret) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.WriteString(secret.Reveal() + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}
