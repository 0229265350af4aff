// Package migrations holds the database's history: one portable set for Postgres and SQLite.
//
// A file must be safe to run twice (IF NOT EXISTS): the note that it ran is written after its
// own transaction, and a process can die between the two.
package migrations

import "embed"

// FS holds the .sql files. Differences between the engines are rendered by text/template with
// .Postgres.
//
//go:embed *.sql
var FS embed.FS
