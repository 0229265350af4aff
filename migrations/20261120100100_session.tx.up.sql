CREATE TABLE IF NOT EXISTS sessions (
  id               uuid        NOT NULL PRIMARY KEY,
  user_id          uuid        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  secret_hash      bytea       NOT NULL,           -- SHA-256 of the random part of its refresh tokens
  generation       bigint      NOT NULL DEFAULT 0, -- of the current refresh token; 0 from sign-in to the first refresh
  issued_at        timestamptz NOT NULL,           -- when that generation was made
  handed_out_at    timestamptz NOT NULL,           -- when it last went out within the grace
  repeats          bigint      NOT NULL DEFAULT 0, -- how often it went out again
  authenticated_at timestamptz NOT NULL,           -- when the user last proved who they are
  created_at       timestamptz NOT NULL,
  last_used_at     timestamptz NOT NULL,
  expires_at       timestamptz NOT NULL,           -- the absolute end; rotation does not move it
  ended_at         timestamptz,
  end_reason       text        NOT NULL DEFAULT '',
  address          text        NOT NULL DEFAULT '',
  user_agent       text        NOT NULL DEFAULT ''
){{if .Postgres}} WITH (fillfactor = 85){{end}};
--bun:split
-- No index holds a column that a refresh changes, so that Postgres can update in place (HOT).
CREATE INDEX IF NOT EXISTS sessions_user_idx ON sessions (user_id);
--bun:split
CREATE INDEX IF NOT EXISTS sessions_ended_idx ON sessions (ended_at) WHERE ended_at IS NOT NULL;
--bun:split
CREATE INDEX IF NOT EXISTS sessions_expires_idx ON sessions (expires_at);
