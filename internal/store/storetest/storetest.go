// Package storetest gives a test a private, migrated database on each engine.
package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"

	"latchkey/internal/store"
)

// PostgresVariable names the environment variable with the URL of a Postgres server on which
// the tests may create databases. Without it they run on SQLite alone.
const PostgresVariable = "LATCHKEY_TEST_DATABASE_URL"

// Engines lists what there is to test on: "sqlite", and "postgres" where it is to be had.
func Engines() []string {
	if os.Getenv(PostgresVariable) == "" {
		return []string{"sqlite"}
	}
	return []string{"sqlite", "postgres"}
}

// Database is a private database of one test.
type Database struct {
	*store.DB
	Engine string
	// URL is for LATCHKEY_DATABASE_URL; empty on SQLite. Path is the SQLite file.
	URL, Path string
	raw       *sql.DB
}

// Each runs f in a parallel subtest on every engine.
func Each(t *testing.T, f func(t *testing.T, db *Database)) {
	for _, engine := range Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f(t, New(t, engine))
		})
	}
}

// New makes a migrated database, which is gone when the test ends.
func New(t testing.TB, engine string) *Database {
	t.Helper()
	db := Empty(t, engine)
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// Empty makes a database without tables.
func Empty(t testing.TB, engine string) *Database {
	t.Helper()
	db := &Database{Engine: engine}
	var err error
	if engine == "postgres" {
		db.URL = createDatabase(t)
		db.raw = open(t, "pgx", db.URL)
		db.DB, err = store.OpenPostgres(t.Context(), db.URL)
	} else {
		db.Path = filepath.Join(t.TempDir(), "latchkey.db")
		db.DB, err = store.OpenSQLite(t.Context(), db.Path)
		db.raw = open(t, "sqlite", "file:"+db.Path+"?_pragma=busy_timeout(5000)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func open(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func createDatabase(t testing.TB) string {
	t.Helper()
	server := os.Getenv(PostgresVariable)
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin := open(t, "pgx", server)
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Open opens the SQLite database of a running server, for what a test does behind its back.
func Open(t Fatal, path string) *Database {
	raw, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Defer(func() { _ = raw.Close() })
	return &Database{Engine: "sqlite", Path: path, raw: raw}
}

// Fatal is what Open needs of a test; a *testscript.TestScript has it.
type Fatal interface {
	Fatalf(format string, args ...any)
	Defer(func())
}

// Exec runs SQL that both engines understand, past the store.
func (db *Database) Exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := db.raw.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// Query runs SQL and answers its rows as text: columns separated by spaces, a line each.
func (db *Database) Query(query string) (string, error) {
	rows, err := db.rows(query)
	var out strings.Builder
	for _, row := range rows {
		out.WriteString(strings.Join(row, " ") + "\n")
	}
	return out.String(), err
}

func (db *Database) rows(query string) (out [][]string, err error) {
	rows, err := db.raw.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, dests := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			dests[i] = &values[i]
		}
		if err := rows.Scan(dests...); err != nil {
			return nil, err
		}
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = v.String
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// Values answers every value of every table: what a copy of the database tells.
func (db *Database) Values(t testing.TB) (out []string) {
	t.Helper()
	tables := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if db.Engine == "postgres" {
		tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
	}
	for table := range strings.FieldsSeq(db.Text(t, tables)) {
		rows, err := db.rows("SELECT * FROM " + table)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, slices.Concat(rows...)...)
	}
	return out
}

// Text answers one value, as text.
func (db *Database) Text(t testing.TB, query string) string {
	t.Helper()
	out, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(out, "\n")
}

// Age makes everything in the database d older: how a test waits.
func (db *Database) Age(t testing.TB, d time.Duration) {
	t.Helper()
	if err := db.MakeOlder(d); err != nil {
		t.Fatal(err)
	}
}

// MakeOlder is Age for what is no testing.TB.
func (db *Database) MakeOlder(d time.Duration) error {
	for table, columns := range map[string][]string{
		"sessions":     {"issued_at", "handed_out_at", "authenticated_at", "created_at", "last_used_at", "expires_at", "ended_at"},
		"signing_keys": {"active_at", "created_at"},
		"rate_limits":  {"ends_at"},
	} {
		var sets []string
		for _, c := range columns {
			if db.Engine == "postgres" {
				sets = append(sets, fmt.Sprintf("%s = %s - interval '%d microseconds'", c, c, d.Microseconds()))
			} else {
				sets = append(sets, fmt.Sprintf("%s = strftime('%%Y-%%m-%%d %%H:%%M:%%f+00:00', %s, '-%f seconds')", c, c, d.Seconds()))
			}
		}
		if _, err := db.raw.Exec("UPDATE " + table + " SET " + strings.Join(sets, ", ")); err != nil {
			return err
		}
	}
	return nil
}
