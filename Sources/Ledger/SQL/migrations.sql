-- name: lock
-- One migrator at a time, whichever process it is in; the number is this project's own.
SELECT pg_advisory_xact_lock(7203914850321);

-- name: prepare
CREATE SCHEMA IF NOT EXISTS martlet;
-- name: prepare_table
CREATE TABLE IF NOT EXISTS martlet.migrations (
    version     integer PRIMARY KEY,
    digest      text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT version, digest FROM martlet.migrations ORDER BY version;

-- name: record
INSERT INTO martlet.migrations (version, digest) VALUES ($1, $2);
