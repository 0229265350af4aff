package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	endedChannel = "latchkey_ended"
	// A connection can die without a word; one that has been silent for this long is asked.
	silence     = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// tell is a column of a RETURNING clause that tells the other processes the id of each row that
// fulfils a condition, with the commit and only with it.
func (db *DB) tell(condition, id string) string {
	if !db.postgres {
		return "FALSE AS told,"
	}
	return fmt.Sprintf("CASE WHEN %s THEN pg_notify('%s', %s::text)::text IS NOT NULL ELSE FALSE END AS told,", condition, endedChannel, id)
}

// EndedSessions implements session.News.
func (db *DB) EndedSessions(ctx context.Context, within time.Duration) ([]uuid.UUID, error) {
	var ids []uuid.UUID
	err := db.read.NewSelect().Model((*sessionRow)(nil)).Column("id").
		Where("ended_at > ?", db.ago(within)).Scan(ctx, &ids)
	return ids, wrap("list ended sessions", err)
}

// ListenEnded implements session.News. SQLite tells nobody: other processes on the same file
// read again.
func (db *DB) ListenEnded(ctx context.Context, listening func(), ended func(uuid.UUID)) error {
	if !db.postgres {
		listening()
		<-ctx.Done()
		return ctx.Err()
	}
	opening, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	conn, err := pgx.ConnectConfig(opening, db.pool.ConnConfig.Copy())
	if err != nil {
		return wrap("listen", err)
	}
	defer func() { go func() { _ = conn.Close(context.WithoutCancel(ctx)) }() }() // may wait for a silent peer
	if _, err := conn.Exec(opening, "LISTEN "+endedChannel); err != nil {
		return wrap("listen", err)
	}
	listening()
	for {
		notification, err := waitFor(ctx, conn)
		if err != nil {
			return wrap("listen", err)
		}
		if notification == nil {
			continue
		}
		if id, err := uuid.Parse(notification.Payload); err == nil {
			ended(id) // anything else is not of ours
		}
	}
}

// waitFor answers nil after a silence, if the connection is alive.
func waitFor(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	quiet, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	notification, err := conn.WaitForNotification(quiet)
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return notification, err
	}
	ping, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return nil, conn.Ping(ping)
}
