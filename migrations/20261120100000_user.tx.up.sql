CREATE TABLE IF NOT EXISTS users (
  id                uuid        NOT NULL PRIMARY KEY,
  email             text        NOT NULL,             -- normalised: user.NormalizeEmail
  email_verified_at timestamptz,
  password_hash     text        NOT NULL DEFAULT '',  -- PHC string; empty: no password
  name              text        NOT NULL DEFAULT '',
  roles             text        NOT NULL DEFAULT 'USER', -- separated by spaces
  created_at        timestamptz NOT NULL,
  updated_at        timestamptz NOT NULL,
  disabled_at       timestamptz
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS users_email_key ON users (email);
