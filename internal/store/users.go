package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"latchkey/internal/session"
	"latchkey/internal/user"
)

type userRow struct {
	bun.BaseModel `bun:"table:users,alias:u"`

	ID              uuid.UUID    `bun:"id,pk"`
	Email           string       `bun:"email"`
	EmailVerifiedAt bun.NullTime `bun:"email_verified_at"`
	PasswordHash    string       `bun:"password_hash"`
	Name            string       `bun:"name"`
	Roles           string       `bun:"roles"`
	CreatedAt       time.Time    `bun:"created_at"`
	DisabledAt      bun.NullTime `bun:"disabled_at"`
}

func (r userRow) user() user.User {
	u := user.User{
		ID: r.ID, Email: r.Email, EmailVerified: !r.EmailVerifiedAt.IsZero(), Name: r.Name,
		CreatedAt: r.CreatedAt.UTC(), DisabledAt: r.DisabledAt.UTC(),
	}
	for _, role := range strings.Fields(r.Roles) {
		u.Roles = append(u.Roles, user.Role(role))
	}
	return u
}

// CreateUser stores u and answers it with the instant of its creation. The address must be
// normalised. Errors: user.ErrEmailTaken.
func (db *DB) CreateUser(ctx context.Context, u user.User, passwordHash string) (user.User, error) {
	roles := make([]string, len(u.Roles))
	for i, r := range u.Roles {
		roles[i] = string(r)
	}
	var row userRow
	// ON CONFLICT rather than an error: Postgres would log the whole row with the error.
	created, err := db.queryRow(ctx, db.write.DB, &row, db.sql(`
		INSERT INTO users (id, email, password_hash, name, roles, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, {now}, {now})
		ON CONFLICT (email) DO NOTHING
		RETURNING created_at`),
		u.ID, u.Email, passwordHash, u.Name, strings.Join(roles, " "))
	if err != nil {
		return user.User{}, wrap("create user", err)
	}
	if !created {
		return user.User{}, user.ErrEmailTaken
	}
	u.CreatedAt = row.CreatedAt.UTC()
	return u, nil
}

const userColumns = "id, email, email_verified_at, name, roles, created_at, disabled_at"

// UserByID answers a user. Errors: user.ErrNotFound.
func (db *DB) UserByID(ctx context.Context, id uuid.UUID) (user.User, error) {
	row, err := db.userRow(ctx, "SELECT "+userColumns+" FROM users WHERE id = $1", id)
	return row.user(), err
}

// CredentialByEmail answers a user with the stored password hash. The address must be
// normalised. Errors: user.ErrNotFound.
func (db *DB) CredentialByEmail(ctx context.Context, email string) (user.User, string, error) {
	row, err := db.userRow(ctx, "SELECT password_hash, "+userColumns+" FROM users WHERE email = $1", email)
	return row.user(), row.PasswordHash, err
}

// userRow takes the value as a parameter: people type passwords where an address belongs.
func (db *DB) userRow(ctx context.Context, text string, arg any) (userRow, error) {
	var row userRow
	found, err := db.queryRow(ctx, db.read.DB, &row, text, arg)
	if err == nil && !found {
		return userRow{}, user.ErrNotFound
	}
	return row, wrap("read user", err)
}

// RenameUser stores a user's name, "" for none, and answers the user. The name must be
// normalised. Errors: user.ErrNotFound.
func (db *DB) RenameUser(ctx context.Context, id uuid.UUID, name string) (user.User, error) {
	var row userRow
	found, err := db.queryRow(ctx, db.write.DB, &row, db.sql(`
		UPDATE users SET name = $2, updated_at = {now}
		WHERE id = $1
		RETURNING `+userColumns), id, name)
	if err == nil && !found {
		return user.User{}, user.ErrNotFound
	}
	return row.user(), wrap("rename user", err)
}

// ReplacePasswordHash stores a new hash of the same password, unless the password has been
// changed since oldHash was read.
func (db *DB) ReplacePasswordHash(ctx context.Context, id uuid.UUID, oldHash, newHash string) error {
	var row userRow
	_, err := db.queryRow(ctx, db.write.DB, &row, db.sql(`
		UPDATE users SET password_hash = $3, updated_at = {now}
		WHERE id = $1 AND password_hash = $2
		RETURNING id`), id, oldHash, newHash)
	return wrap("replace password hash", err)
}

// Users lists users in the order of their creation, at most limit after the first offset.
func (db *DB) Users(ctx context.Context, offset, limit int) ([]user.User, error) {
	var rows []userRow
	err := db.read.NewSelect().Model(&rows).ExcludeColumn("password_hash").
		Order("created_at", "id").Offset(int64(offset)).Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, wrap("list users", err)
	}
	users := make([]user.User, len(rows))
	for i, row := range rows {
		users[i] = row.user()
	}
	return users, nil
}

// DisableUser keeps a user from signing in and ends all of their sessions, and answers the user
// and how many sessions that were. The address must be normalised. It is no error if the
// user is disabled already. Errors: user.ErrNotFound.
func (db *DB) DisableUser(ctx context.Context, email string) (user.User, int, error) {
	var row userRow
	var ended []endedRow
	err := db.write.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		now := bun.Safe(db.sql("{now}"))
		err := tx.NewUpdate().Model(&row).Set("disabled_at = coalesce(disabled_at, ?), updated_at = ?", now, now).
			Where("email = ?", email).Returning("id, email, disabled_at").Scan(ctx)
		if err != nil {
			return err
		}
		ended, err = db.endWhere(ctx, tx, session.EndedByDisabling, 0, "user_id = ?", row.ID)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return user.User{}, 0, user.ErrNotFound
	}
	return row.user(), len(ended), wrap("disable user", err)
}

// EnableUser lets a disabled user sign in again. The address must be normalised. It is no error
// if the user is not disabled. Errors: user.ErrNotFound.
func (db *DB) EnableUser(ctx context.Context, email string) (user.User, error) {
	var row userRow
	err := db.write.NewUpdate().Model(&row).Set("disabled_at = NULL, updated_at = ?", bun.Safe(db.sql("{now}"))).
		Where("email = ?", email).Returning("id, email, disabled_at").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return user.User{}, user.ErrNotFound
	}
	return row.user(), wrap("enable user", err)
}
