CREATE TABLE IF NOT EXISTS signing_keys (
  id         text        NOT NULL PRIMARY KEY, -- RFC 7638 thumbprint
  generation bigint      NOT NULL,
  algorithm  text        NOT NULL,
  sealed_key bytea       NOT NULL,             -- PKCS #8, AES-256-GCM under the master secret
  active_at  timestamptz NOT NULL,
  created_at timestamptz NOT NULL
);
--bun:split
CREATE UNIQUE INDEX IF NOT EXISTS signing_keys_generation_key ON signing_keys (generation);
