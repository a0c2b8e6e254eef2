-- Everything that a spool keeps, in a database of its own.
--
-- Ids are the 16 bytes of a UUIDv7. Times are microseconds since the Unix epoch.

-- Accepted webhooks on their way to the store, in the order of acceptance. Rows are only added at one end and, in the
-- ordinary course of things, removed at the other. AUTOINCREMENT: a number is never used again, so a reader that stands
-- behind a number overlooks nothing. size_bytes counts body and headers.
CREATE TABLE spool (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    idempotency_key TEXT,
    key_hash BLOB,
    key_explicit INTEGER,
    key_expires_at INTEGER,
    body_sha256 BLOB NOT NULL,
    deliveries TEXT NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX spool_by_id ON spool (id);
CREATE INDEX spool_by_key ON spool (endpoint_id, key_hash) WHERE key_hash IS NOT NULL;

-- One row: what the table above holds, kept in the same transactions. changes tells a later state from an earlier one.
CREATE TABLE spool_totals (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    changes INTEGER NOT NULL,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;

INSERT INTO spool_totals (id, changes, events, bytes) VALUES (1, 0, 0, 0);
