// Package store keeps users, sessions, signing keys and counters in Postgres or SQLite.
//
// One exported method is one act: what it writes, it writes in one transaction. Every instant
// comes from the database's clock, so that replicas whose clocks disagree decide alike.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/uptrace/bun"

	"latchkey/internal/login"
	"latchkey/internal/profile"
	"latchkey/internal/ratelimit"
	"latchkey/internal/session"
	"latchkey/internal/signup"
	"latchkey/internal/token"
)

// Who uses the database, and for what.
var (
	_ session.Database = (*DB)(nil)
	_ login.Store      = (*DB)(nil)
	_ signup.Store     = (*DB)(nil)
	_ profile.Store    = (*DB)(nil)
	_ token.KeyStore   = (*DB)(nil)
	_ ratelimit.Rows   = (*DB)(nil)
)

// DB is an open database.
type DB struct {
	read, write *bun.DB // the same on Postgres; SQLite has one writer and several readers
	postgres    bool
	location    string          // for people; without password
	pool        *pgxpool.Config // Postgres: how to connect
	lockPath    string          // SQLite: the file that a start locks
	rotate      string          // the prepared refresh, see sessions.go
}

// Location says where the data lies, for a person; it holds no password.
func (db *DB) Location() string { return db.location }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.read.PingContext(ctx) }

// Close closes all connections.
func (db *DB) Close() error {
	if db.read == db.write {
		return db.write.Close()
	}
	return errors.Join(db.read.Close(), db.write.Close())
}

var instant = regexp.MustCompile(`\{(now|ago|in)(?: (\$\d+))?\}`)

// sql renders a statement for the engine. {now} is the database's present time; {ago $3} and
// {in $3} are the instants that lie the seconds of parameter 3 before and after it.
func (db *DB) sql(text string) string {
	return instant.ReplaceAllStringFunc(text, func(m string) string {
		part := instant.FindStringSubmatch(m)
		sign := map[string]string{"ago": "-", "in": "+"}[part[1]]
		switch {
		case db.postgres && sign == "":
			return "now()"
		case db.postgres:
			return "(now() " + sign + " make_interval(secs => " + part[2] + "))"
		case sign == "":
			// The form in which Bun writes instants, so that text order is order in time.
			return "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')"
		}
		return "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now', '" + sign + "' || " + part[2] + " || ' seconds')"
	})
}

// conn is a pool or a transaction of database/sql: Bun's own would write the values into the
// text, see queryRow.
type conn interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// queryRow runs a statement with real parameters ($1, $2 …), prepared and cached on Postgres:
// for the hot statements and for those with secrets, because Bun writes values into the
// statement's text, and Postgres writes that text to its log when something fails. It scans
// the first row into dest, a struct with bun tags, and reports whether there was one.
func (db *DB) queryRow(ctx context.Context, c conn, dest any, text string, args ...any) (bool, error) {
	if db.postgres {
		args = append([]any{pgx.QueryExecModeCacheStatement}, args...)
	}
	rows, err := c.QueryContext(ctx, text, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	found := rows.Next()
	if found {
		if err := db.write.ScanRow(ctx, rows, dest); err != nil {
			return false, err
		}
	}
	// A statement that fails late, on a commit say, tells so only when all rows are read.
	for rows.Next() {
	}
	return found, rows.Err()
}

// wrap names the act that failed. The text of a statement is never part of an error.
func wrap(act string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %s: %w", act, err)
}
