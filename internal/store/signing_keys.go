package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"latchkey/internal/token"
)

type signingKeyRow struct {
	bun.BaseModel `bun:"table:signing_keys,alias:k"`

	ID         string    `bun:"id,pk"`
	Generation int64     `bun:"generation"`
	Algorithm  string    `bun:"algorithm"`
	SealedKey  []byte    `bun:"sealed_key"`
	ActiveAt   time.Time `bun:"active_at"`
}

// SigningKeys implements token.KeyStore.
func (db *DB) SigningKeys(ctx context.Context) ([]token.StoredKey, time.Time, error) {
	var now struct {
		Now time.Time `bun:"now"`
	}
	if _, err := db.queryRow(ctx, db.read.DB, &now, db.sql("SELECT {now} AS now")); err != nil {
		return nil, time.Time{}, wrap("read the clock", err)
	}
	var rows []signingKeyRow
	if err := db.read.NewSelect().Model(&rows).Order("generation").Scan(ctx); err != nil {
		return nil, time.Time{}, wrap("read signing keys", err)
	}
	keys := make([]token.StoredKey, len(rows))
	for i, r := range rows {
		keys[i] = token.StoredKey{
			ID: r.ID, Generation: r.Generation, Algorithm: token.Algorithm(r.Algorithm),
			SealedKey: r.SealedKey, ActiveAt: r.ActiveAt.UTC(),
		}
	}
	return keys, now.Now.UTC(), nil
}

// AddSigningKey implements token.KeyStore.
func (db *DB) AddSigningKey(ctx context.Context, k token.StoredKey, delay time.Duration) error {
	var row signingKeyRow
	added, err := db.queryRow(ctx, db.write.DB, &row, db.sql(`
		INSERT INTO signing_keys (id, generation, algorithm, sealed_key, active_at, created_at)
		VALUES ($1, $2, $3, $4, {in $5}, {now})
		ON CONFLICT (generation) DO NOTHING
		RETURNING id`), k.ID, k.Generation, string(k.Algorithm), k.SealedKey, delay.Seconds())
	if err == nil && !added {
		return token.ErrKeyConflict
	}
	return wrap("add signing key", err)
}

// DeleteSigningKeys implements token.KeyStore.
func (db *DB) DeleteSigningKeys(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := db.write.NewDelete().Model((*signingKeyRow)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return wrap("delete signing keys", err)
}
