package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// SQLite lets one connection write at a time. One writer that queues in this process is far
// steadier than several that poll the file.
const readers = 4

// OpenSQLite opens the database file at path and creates it if there is none, readable by its
// owner alone.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	db := &DB{location: "SQLite " + path, lockPath: path + ".lock"}
	// Processes that start together take turns: the switch to a write-ahead log does not wait
	// for others as other statements do.
	unlock, err := lockFile(ctx, db.lockPath)
	if err != nil {
		return nil, fmt.Errorf("store: lock: %w", err)
	}
	defer unlock()
	// SQLite itself would create the file readable by everybody.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)&_txlock=immediate"
	if db.write, err = openSQLite(ctx, dsn, 1); err != nil {
		return nil, err
	}
	if db.read, err = openSQLite(ctx, dsn+"&_pragma=query_only(1)", readers); err != nil {
		return nil, errors.Join(err, db.write.Close())
	}
	db.rotate = db.rotateSQL()
	return db, nil
}

func openSQLite(ctx context.Context, dsn string, conns int) (*bun.DB, error) {
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: open SQLite: %w", err), pool.Close())
	}
	return bun.NewDB(pool, sqlitedialect.New()), nil
}
