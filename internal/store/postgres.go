package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// defaultMaxConns serves a replica of a few cores; pool_max_conns in the URL overrides it.
const defaultMaxConns = 16

// OpenPostgres opens the database at a postgres:// URL and waits for a first answer. Errors
// never hold the URL's password.
func OpenPostgres(ctx context.Context, databaseURL string) (*DB, error) {
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err) // pgx masks the password
	}
	// Bun writes values into the text, so that every text differs: preparing each would cost
	// a round trip and evict the statements that repeat. Those are prepared one by one.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	if !strings.Contains(databaseURL, "pool_max_conns") {
		cfg.MaxConns = defaultMaxConns
	}
	cfg.PingTimeout = time.Second // of a pooled connection that may have died without a word
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "latchkey"
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	bunDB := bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New())
	c := cfg.ConnConfig
	db := &DB{read: bunDB, write: bunDB, postgres: true, pool: cfg,
		location: fmt.Sprintf("Postgres %s at %s:%d", c.Database, c.Host, c.Port)}
	if err := db.Ping(ctx); err != nil {
		go pool.Close() // which waits long for a peer that is silent
		return nil, fmt.Errorf("store: cannot connect to Postgres: %w", err)
	}
	db.rotate = db.rotateSQL()
	return db, nil
}
