package store

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"latchkey/internal/session"
)

type sessionRow struct {
	bun.BaseModel `bun:"table:sessions,alias:s"`

	ID         uuid.UUID `bun:"id,pk"`
	CreatedAt  time.Time `bun:"created_at"`
	LastUsedAt time.Time `bun:"last_used_at"`
	ExpiresAt  time.Time `bun:"expires_at"`
	Address    string    `bun:"address"`
	UserAgent  string    `bun:"user_agent"`
}

func (r sessionRow) session() session.Session {
	address, _ := netip.ParseAddr(r.Address) // empty: unknown
	return session.Session{
		ID: r.ID, CreatedAt: r.CreatedAt.UTC(), LastUsedAt: r.LastUsedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
		Client: session.Client{Address: address, UserAgent: r.UserAgent},
	}
}

// livingOf is the condition for the living sessions of a user.
func (db *DB) livingOf(userID uuid.UUID, idle time.Duration) (string, []any) {
	return "user_id = ? AND ended_at IS NULL AND expires_at > ? AND last_used_at > ?",
		[]any{userID, bun.Safe(db.sql("{now}")), db.ago(idle)}
}

// LiveSessions implements session.Store.
func (db *DB) LiveSessions(ctx context.Context, userID uuid.UUID, idle time.Duration) ([]session.Session, error) {
	var rows []sessionRow
	living, args := db.livingOf(userID, idle)
	err := db.read.NewSelect().Model(&rows).Where(living, args...).Order("last_used_at DESC", "id DESC").Scan(ctx)
	out := make([]session.Session, len(rows))
	for i, row := range rows {
		out[i] = row.session()
	}
	return out, wrap("list sessions", err)
}

// CreateSession implements session.Store. The user's row is locked from here to the end, before
// any session's, as in every act that ends several: so sign-ins that race keep to the cap
// none slips past the disabling of its user, and none waits for another in a
// circle. A session that is replaced and another user's would make a circle, so that it ends
// afterwards. SQLite has one writer at a time anyway.
func (db *DB) CreateSession(ctx context.Context, n session.NewSession) (time.Time, []uuid.UUID, error) {
	lock := ""
	if db.postgres {
		lock = "FOR NO KEY UPDATE"
	}
	var row sessionRow
	var tooMany []uuid.UUID
	err := db.write.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		found, err := db.queryRow(ctx, tx.Tx, &row, db.sql(`
			INSERT INTO sessions (id, user_id, secret_hash, issued_at, handed_out_at,
				authenticated_at, created_at, last_used_at, expires_at, address, user_agent)
			SELECT $1, u.id, $3, {now}, {now}, {now}, {now}, {now}, {in $4}, $5, $6
			FROM users AS u WHERE u.id = $2 AND u.disabled_at IS NULL `+lock+`
			RETURNING created_at`),
			n.ID, n.UserID, n.SecretHash, n.TTL.Seconds(), address(n.Client), n.Client.UserAgent)
		if err == nil && !found {
			err = session.ErrDisabled
		}
		if err == nil && n.Replaces != uuid.Nil {
			_, err = db.endWhere(ctx, tx, session.EndedByNewLogin, 0, "id = ? AND user_id = ?", n.Replaces, n.UserID)
		}
		if err != nil {
			return err
		}
		living, args := db.livingOf(n.UserID, n.IdleTTL)
		kept := tx.NewSelect().Model((*sessionRow)(nil)).Column("id").Where(living, args...).
			OrderExpr("id = ? DESC, last_used_at DESC, id DESC", n.ID).Limit(int64(max(n.Max, 1)))
		ended, err := db.endWhere(ctx, tx, session.EndedByCap, 0, living+" AND id NOT IN (?)", append(args, kept)...)
		for _, e := range ended {
			tooMany = append(tooMany, e.ID)
		}
		return err
	})
	if errors.Is(err, session.ErrDisabled) {
		return time.Time{}, nil, err
	}
	if err == nil && n.Replaces != uuid.Nil {
		_, err = db.endWhere(ctx, db.write, session.EndedByNewLogin, 0, "id = ?", n.Replaces)
	}
	return row.CreatedAt.UTC(), tooMany, wrap("create session", err)
}

func address(c session.Client) string {
	if !c.Address.IsValid() {
		return ""
	}
	return c.Address.String()
}

// rotateSQL is the whole decision of a refresh, taken under the row's lock on the database's
// clock. Parameters: 1 session, 2 hash of the secret, 3 presented generation, 4 grace in
// seconds, 5 idle lifetime in seconds, 6 most repeats, 7 address and 8 user agent of the caller.
//
// A generation ahead of the row's can only mean that the database lost a commit (a restored
// backup, a failover): the token is genuine, so the row catches up.
//
// A token rotates a grace after it was last handed out within its own grace. So an answer that
// takes less than a grace arrives before the next rotation, and no late one can put an old
// token back; and a session that is refreshed without pause still rotates after two graces.
func (db *DB) rotateSQL() string {
	const (
		early   = `(CAST($4 AS double precision) > 0 AND sessions.issued_at > {ago $4})`
		rotates = `($3 > sessions.generation OR ($3 = sessions.generation AND (sessions.generation = 0 OR sessions.handed_out_at <= {ago $4})))`
		// Only asked when nothing rotates.
		repeats = `($3 = sessions.generation OR ($3 = sessions.generation - 1 AND ` + early + `))`
	)
	// Postgres may return columns of a joined table; SQLite may not, nor does it know an alias
	// of the updated table there.
	from, userColumn := "", "(SELECT u.%s FROM users AS u WHERE u.id = sessions.user_id)"
	if db.postgres {
		from, userColumn = "FROM users AS u", "u.%s"
	}
	column := func(name string) string { return strings.Replace(userColumn, "%s", name, 1) }
	text := `
		UPDATE sessions SET
			generation    = CASE WHEN {rotates} THEN $3 + 1 ELSE sessions.generation END,
			issued_at     = CASE WHEN {rotates} THEN {now} ELSE sessions.issued_at END,
			handed_out_at = CASE WHEN {rotates} OR ({repeats} AND {early} AND (sessions.repeats < $6 OR $3 < sessions.generation)) THEN {now} ELSE sessions.handed_out_at END,
			repeats       = CASE WHEN {rotates} THEN 0 ELSE sessions.repeats + 1 END,
			last_used_at  = CASE WHEN {rotates} OR {repeats} THEN {now} ELSE sessions.last_used_at END,
			address       = CASE WHEN {rotates} AND $7 <> '' THEN $7 ELSE sessions.address END,
			user_agent    = CASE WHEN {rotates} AND $8 <> '' THEN $8 ELSE sessions.user_agent END,
			ended_at      = CASE WHEN {rotates} OR {repeats} THEN NULL ELSE {now} END,
			end_reason    = CASE WHEN {rotates} OR {repeats} THEN '' ELSE 'reuse' END
		` + from + `
		WHERE sessions.id = $1 AND sessions.secret_hash = $2 AND sessions.ended_at IS NULL
			AND sessions.expires_at > {now} AND sessions.last_used_at > {ago $5}
			AND ` + column("id") + ` = sessions.user_id AND ` + column("disabled_at") + ` IS NULL
		RETURNING ` + db.tell("sessions.ended_at IS NOT NULL", "sessions.id") + `
			sessions.generation, sessions.issued_at, sessions.handed_out_at, sessions.repeats,
			sessions.authenticated_at, sessions.expires_at, sessions.ended_at, {now} AS now, sessions.user_id, ` +
		column("email") + ` AS email, ` + column("email_verified_at") + ` AS email_verified_at, ` +
		column("name") + ` AS name, ` + column("roles") + ` AS roles, ` + column("created_at") + ` AS user_created_at`
	return db.sql(strings.NewReplacer("{rotates}", rotates, "{repeats}", repeats, "{early}", early).Replace(text))
}

type rotationRow struct {
	Told            bool         `bun:"told"`
	Generation      int64        `bun:"generation"`
	IssuedAt        time.Time    `bun:"issued_at"`
	HandedOutAt     time.Time    `bun:"handed_out_at"`
	Repeats         int          `bun:"repeats"`
	AuthenticatedAt time.Time    `bun:"authenticated_at"`
	ExpiresAt       time.Time    `bun:"expires_at"`
	EndedAt         bun.NullTime `bun:"ended_at"`
	Now             time.Time    `bun:"now"`
	UserID          uuid.UUID    `bun:"user_id"`
	Email           string       `bun:"email"`
	EmailVerifiedAt bun.NullTime `bun:"email_verified_at"`
	Name            string       `bun:"name"`
	Roles           string       `bun:"roles"`
	UserCreatedAt   time.Time    `bun:"user_created_at"`
}

// RotateSession implements session.Store.
func (db *DB) RotateSession(ctx context.Context, r session.Rotate) (session.Rotation, error) {
	var row rotationRow
	found, err := db.queryRow(ctx, db.write.DB, &row, db.rotate,
		r.SessionID, r.SecretHash, r.Generation, r.Grace.Seconds(), r.IdleTTL.Seconds(), r.MaxRepeats,
		address(r.Client), r.Client.UserAgent)
	if err != nil {
		return session.Rotation{}, wrap("rotate session", err)
	}
	if !found {
		reason, err := db.whyDead(ctx, r)
		return session.Rotation{Outcome: session.Dead, Reason: reason}, err
	}
	age := max(row.Now.Sub(row.IssuedAt), 0)
	out := session.Rotation{
		User: userRow{
			ID: row.UserID, Email: row.Email, EmailVerifiedAt: row.EmailVerifiedAt, Name: row.Name,
			Roles: row.Roles, CreatedAt: row.UserCreatedAt,
		}.user(),
		Generation: row.Generation,
		AuthTime:   row.AuthenticatedAt.UTC(),
		TTL:        row.ExpiresAt.Sub(row.Now),
		Age:        age,
	}
	switch {
	case !row.EndedAt.IsZero():
		out.Outcome = session.Reused
	case row.Generation > r.Generation && row.Repeats == 0:
		out.Outcome = session.Rotated
	// Never the holder of the predecessor: to wait would make it a token of the past.
	case row.Repeats > r.MaxRepeats && row.Generation == r.Generation:
		out.Outcome, out.Wait = session.Throttled, row.HandedOutAt.Add(r.Grace).Sub(row.Now)
	case row.Generation == r.Generation && age >= r.Grace:
		out.Outcome = session.Unchanged
	default:
		out.Outcome = session.Repeated
	}
	return out, nil
}

// whyDead finds out, for the log, why there was nothing to rotate.
func (db *DB) whyDead(ctx context.Context, r session.Rotate) (session.EndReason, error) {
	var row struct {
		EndReason string `bun:"end_reason"`
		Expired   bool   `bun:"expired"`
		Idle      bool   `bun:"idle"`
		Disabled  bool   `bun:"disabled"`
	}
	found, err := db.queryRow(ctx, db.read.DB, &row, db.sql(`
		SELECT s.end_reason, s.expires_at <= {now} AS expired, s.last_used_at <= {ago $3} AS idle,
			u.disabled_at IS NOT NULL AS disabled
		FROM sessions AS s JOIN users AS u ON u.id = s.user_id
		WHERE s.id = $1 AND s.secret_hash = $2`), r.SessionID, r.SecretHash, r.IdleTTL.Seconds())
	switch {
	case err != nil:
		return "", wrap("read session", err)
	case !found:
		return session.TokenUnknown, nil
	case row.EndReason != "":
		return session.EndReason(row.EndReason), nil
	case row.Disabled:
		return session.EndedByDisabling, nil
	case row.Expired:
		return session.EndedByAge, nil
	}
	return session.EndedByIdle, nil
}

// EndSession implements session.Store.
func (db *DB) EndSession(ctx context.Context, id uuid.UUID, reason session.EndReason) (bool, error) {
	ended, err := db.endWhere(ctx, db.write, reason, 0, "id = ?", id)
	return len(ended) > 0, wrap("end session", err)
}

// EndOwnSession implements session.Store.
func (db *DB) EndOwnSession(ctx context.Context, userID, id uuid.UUID, reason session.EndReason, idle time.Duration) (bool, error) {
	living, args := db.livingOf(userID, idle)
	ended, err := db.endWhere(ctx, db.write, reason, idle, living+" AND id = ?", append(args, id)...)
	return len(ended) > 0, wrap("end own session", err)
}

// EndSessionsOf implements session.Store.
func (db *DB) EndSessionsOf(ctx context.Context, userID uuid.UUID, reason session.EndReason, idle time.Duration) (ids []uuid.UUID, alive int, err error) {
	var ended []endedRow
	err = db.write.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if db.postgres { // see CreateSession
			if _, err := tx.NewRaw("SELECT FROM users WHERE id = ? FOR NO KEY UPDATE", userID).Exec(ctx); err != nil {
				return err
			}
		}
		ended, err = db.endWhere(ctx, tx, reason, idle, "user_id = ?", userID)
		return err
	})
	for _, row := range ended {
		ids = append(ids, row.ID)
		if row.Alive {
			alive++
		}
	}
	return ids, alive, wrap("end sessions", err)
}

type endedRow struct {
	Told  bool      `bun:"told"`
	ID    uuid.UUID `bun:"id"`
	Alive bool      `bun:"alive"`
}

func (db *DB) endWhere(ctx context.Context, c bun.IDB, reason session.EndReason, idle time.Duration, where string, args ...any) ([]endedRow, error) {
	now := bun.Safe(db.sql("{now}"))
	var ended []endedRow
	err := c.NewUpdate().Model((*sessionRow)(nil)).
		Set("ended_at = ?", now).Set("end_reason = ?", reason).
		Where(where, args...).Where("ended_at IS NULL").
		Returning("? id, expires_at > ? AND last_used_at > ? AS alive", bun.Safe(db.tell("TRUE", "id")), now, db.ago(idle)).Scan(ctx, &ended)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return ended, err
}

// DeleteDeadSessions implements session.Store. Sessions that are idle for too long wait for
// their absolute end: an index on their last use would cost every refresh.
func (db *DB) DeleteDeadSessions(ctx context.Context, age time.Duration, limit int) (int, error) {
	dead := db.write.NewSelect().Model((*sessionRow)(nil)).Column("id").
		Where("ended_at < ?", db.ago(age)).WhereOr("expires_at < ?", db.ago(age)).Limit(int64(limit))
	res, err := db.write.NewDelete().Model((*sessionRow)(nil)).Where("id IN (?)", dead).Exec(ctx)
	if err != nil {
		return 0, wrap("delete dead sessions", err)
	}
	n, err := res.RowsAffected()
	return int(n), wrap("delete dead sessions", err)
}

// ago is {ago} for Bun's queries.
func (db *DB) ago(d time.Duration) schema.QueryWithArgs {
	return bun.SafeQuery(strings.Replace(db.sql("{ago $1}"), "$1", "?", 1), d.Seconds())
}
