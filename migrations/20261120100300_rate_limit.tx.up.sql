-- Counters that replicas share where there is no Redis. Unlogged: a login must not wait for the
-- disk for each of them, and a crash of the database may forget them.
CREATE {{if .Postgres}}UNLOGGED {{end}}TABLE IF NOT EXISTS rate_limits (
  name    text        NOT NULL PRIMARY KEY, -- the bucket and a keyed hash of whose it is
  count   bigint      NOT NULL,
  ends_at timestamptz NOT NULL              -- of the window
){{if .Postgres}} WITH (fillfactor = 70){{end}};
