package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/migrate"

	"latchkey/migrations"
)

// ErrNewerDatabase: the database has migrations that this program does not know.
var ErrNewerDatabase = errors.New("store: the database was made by a newer version of Latchkey")

// Migration is one step of the database's history.
type Migration struct {
	Name      string
	AppliedAt time.Time // zero: not applied
}

// migrationLock is the advisory lock that replicas take on Postgres; any constant will do.
const migrationLock = 0x6c617463686b6579 // "latchkey"

// Migrate applies what is missing and answers the steps it took. Processes that start together
// take turns, and only the first finds something to do. Errors: ErrNewerDatabase.
func (db *DB) Migrate(ctx context.Context) (applied []Migration, err error) {
	err = db.locked(ctx, func(m *migrate.Migrator) error {
		group, err := m.Migrate(ctx)
		for _, step := range group.Migrations {
			applied = append(applied, Migration{Name: step.Name + "_" + step.Comment})
		}
		return err
	})
	return applied, wrap("migrate", err)
}

// Rollback undoes the newest applied step and answers it; the data in it is lost. A zero
// Migration means that there was none. Errors: ErrNewerDatabase.
func (db *DB) Rollback(ctx context.Context) (undone Migration, err error) {
	err = db.locked(ctx, func(m *migrate.Migrator) error {
		steps, err := m.MigrationsWithStatus(ctx)
		if err != nil {
			return err
		}
		for _, step := range slices.Backward(steps) {
			if !step.IsApplied() {
				continue
			}
			undone = Migration{Name: step.Name + "_" + step.Comment, AppliedAt: step.MigratedAt.UTC()}
			if err := step.Down(ctx, m, &step); err != nil {
				return err
			}
			return m.MarkUnapplied(ctx, &step)
		}
		return nil
	})
	return undone, wrap("roll back", err)
}

// Migrations lists all steps, the oldest first. Errors: ErrNewerDatabase.
func (db *DB) Migrations(ctx context.Context) (all []Migration, err error) {
	err = db.locked(ctx, func(m *migrate.Migrator) error {
		steps, err := m.MigrationsWithStatus(ctx)
		for _, step := range steps {
			out := Migration{Name: step.Name + "_" + step.Comment}
			if step.IsApplied() {
				out.AppliedAt = step.MigratedAt.UTC()
			}
			all = append(all, out)
		}
		return err
	})
	return all, wrap("list migrations", err)
}

// locked calls f while no other process migrates. Bun's own lock does not wait, outlives a
// crash and is itself created in a race, so it is not used.
func (db *DB) locked(ctx context.Context, f func(*migrate.Migrator) error) error {
	conn, unlock, err := db.exclusive(ctx)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer unlock()

	known := migrate.NewMigrations()
	if err := known.Discover(migrations.FS); err != nil {
		return err
	}
	m := migrate.NewMigrator(conn, known,
		migrate.WithMarkAppliedOnSuccess(true),
		migrate.WithTemplateData(struct{ Postgres bool }{db.postgres}))
	if err := m.Init(ctx); err != nil {
		return err
	}
	unknown, err := m.MissingMigrations(ctx)
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%w (step %s)", ErrNewerDatabase, unknown[0].Name)
	}
	return f(m)
}

// exclusive answers a connection to migrate on while nobody else does.
func (db *DB) exclusive(ctx context.Context) (conn *bun.DB, unlock func(), err error) {
	if !db.postgres {
		unlock, err := lockFile(ctx, db.lockPath)
		return db.write, unlock, err
	}
	// One connection takes the lock and does the work: were it two, a process that dies would
	// free the lock while its last statement still runs.
	cfg := db.pool.Copy()
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = 1, 0, 0
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	conn = bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New())
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock(?)", int64(migrationLock)); err != nil {
		go pool.Close()
		return nil, nil, err
	}
	// Postgres frees the lock with the connection. Nobody waits for that: it takes long if the
	// peer is silent.
	return conn, func() { go pool.Close() }, nil
}

// lockFile waits until no other process holds a file, and holds it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	lock := flock.New(path, flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return nil, err
	}
	return func() { _ = lock.Unlock() }, nil
}
