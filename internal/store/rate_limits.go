package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"
)

type rateLimitRow struct {
	bun.BaseModel `bun:"table:rate_limits,alias:l"`

	Name   string    `bun:"name,pk"`
	Count  int64     `bun:"count"`
	EndsAt time.Time `bun:"ends_at"`
	Now    time.Time `bun:"now,scanonly"`
}

// AddToCounter implements ratelimit.Rows.
func (db *DB) AddToCounter(ctx context.Context, name string, n int64, period time.Duration) (int64, time.Duration, error) {
	var row rateLimitRow
	// On Postgres GREATEST is max(a, b), which it spells otherwise.
	greatest := "max"
	if db.postgres {
		greatest = "greatest"
	}
	_, err := db.queryRow(ctx, db.write.DB, &row, db.sql(`
		INSERT INTO rate_limits AS l (name, count, ends_at)
		VALUES ($1, `+greatest+`(CAST($2 AS bigint), 0), {in $3})
		ON CONFLICT (name) DO UPDATE SET
			count   = `+greatest+`(CASE WHEN l.ends_at > {now} THEN l.count ELSE 0 END + $2, 0),
			ends_at = CASE WHEN l.ends_at > {now} THEN l.ends_at ELSE {in $3} END
		RETURNING count, ends_at, {now} AS now`), name, n, period.Seconds())
	return row.Count, row.EndsAt.Sub(row.Now), wrap("count", err)
}

// DeleteDeadCounters implements ratelimit.Rows.
func (db *DB) DeleteDeadCounters(ctx context.Context, limit int) (int, error) {
	now := bun.Safe(db.sql("{now}"))
	dead := db.write.NewSelect().Model((*rateLimitRow)(nil)).Column("name").
		Where("ends_at < ?", now).Order("name").Limit(int64(limit))
	if db.postgres {
		dead.For("UPDATE SKIP LOCKED") // one that is being charged is not dead, and replicas clean up together
	}
	res, err := db.write.NewDelete().Model((*rateLimitRow)(nil)).Where("name IN (?)", dead).Where("ends_at < ?", now).Exec(ctx)
	if err != nil {
		return 0, wrap("delete counters", err)
	}
	n, err := res.RowsAffected()
	return int(n), wrap("delete counters", err)
}
