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
	Now        time.Time `bun:"now,scanonly"`
}

// SigningKeys implements token.KeyStore: one small query, because every process asks every few
// seconds.
func (db *DB) SigningKeys(ctx context.Context) ([]token.StoredKey, time.Time, error) {
	var rows []signingKeyRow
	err := db.read.NewSelect().Model(&rows).Column("id", "generation", "algorithm", "sealed_key", "active_at").
		ColumnExpr("? AS now", bun.Safe(db.sql("{now}"))).Order("generation").Scan(ctx)
	if err != nil || len(rows) == 0 {
		return nil, time.Time{}, wrap("read signing keys", err)
	}
	keys := make([]token.StoredKey, len(rows))
	for i, r := range rows {
		keys[i] = token.StoredKey{
			ID: r.ID, Generation: r.Generation, Algorithm: token.Algorithm(r.Algorithm),
			SealedKey: r.SealedKey, ActiveAt: r.ActiveAt.UTC(),
		}
	}
	return keys, rows[0].Now.UTC(), nil
}

// AddSigningKey implements token.KeyStore.
func (db *DB) AddSigningKey(ctx context.Context, k token.StoredKey, delay time.Duration) error {
	return wrap("add signing key", db.addSigningKey(ctx, db.write.DB, k, delay))
}

func (db *DB) addSigningKey(ctx context.Context, c conn, k token.StoredKey, delay time.Duration) error {
	var row signingKeyRow
	added, err := db.queryRow(ctx, c, &row, db.sql(`
		INSERT INTO signing_keys (id, generation, algorithm, sealed_key, active_at, created_at)
		VALUES ($1, $2, $3, $4, {in $5}, {now})
		ON CONFLICT (generation) DO NOTHING
		RETURNING id`), k.ID, k.Generation, string(k.Algorithm), k.SealedKey, delay.Seconds())
	if err == nil && !added {
		return token.ErrKeyConflict
	}
	return err
}

// ReplaceSigningKey implements token.KeyStore.
func (db *DB) ReplaceSigningKey(ctx context.Context, id string, k token.StoredKey, delay time.Duration) error {
	return wrap("replace signing key", db.write.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := db.addSigningKey(ctx, tx.Tx, k, delay); err != nil {
			return err
		}
		_, err := tx.NewDelete().Model((*signingKeyRow)(nil)).Where("id = ?", id).Exec(ctx)
		return err
	}))
}

// ResealSigningKey implements token.KeyStore.
func (db *DB) ResealSigningKey(ctx context.Context, id string, from, to []byte) error {
	var row signingKeyRow
	_, err := db.queryRow(ctx, db.write.DB, &row,
		"UPDATE signing_keys SET sealed_key = $3 WHERE id = $1 AND sealed_key = $2 RETURNING id", id, from, to)
	return wrap("reseal signing key", err)
}

// DeleteSigningKeys implements token.KeyStore.
func (db *DB) DeleteSigningKeys(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := db.write.NewDelete().Model((*signingKeyRow)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return wrap("delete signing keys", err)
}
