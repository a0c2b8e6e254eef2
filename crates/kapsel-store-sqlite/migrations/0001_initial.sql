-- Everything that the engine keeps.
--
-- Ids are the 16 bytes of a UUIDv7, which sort by time. Times are microseconds since the Unix epoch. There are no
-- foreign keys, triggers and checks on the tables that each event touches: the engine is the only writer.

-- Endpoints stay after their deletion, so that their ids stay taken and the change can be told to others.
CREATE TABLE endpoints (
    id BLOB PRIMARY KEY NOT NULL,
    tenant_id BLOB NOT NULL,
    config TEXT NOT NULL,
    secrets BLOB NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('enabled', 'disabled')),
    disabled_reason TEXT CHECK ((disabled_reason IS NULL) = (status = 'enabled')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    deleted_at INTEGER,
    changed_seq INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX endpoints_by_change ON endpoints (changed_seq);
CREATE INDEX endpoints_by_tenant ON endpoints (tenant_id, id);

-- Accepted webhooks, never changed. A rowid table, because rows of a kilobyte would fill the inner pages of a WITHOUT
-- ROWID tree. The tenant stands first in the key: that index serves look-ups and lists alike, and no index on the id
-- alone is needed. Bodies above 64 KiB live in event_bodies, which keeps this table dense.
CREATE TABLE events (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    content_type TEXT,
    idempotency_key TEXT,
    body_sha256 BLOB NOT NULL,
    headers BLOB NOT NULL,
    body BLOB,
    PRIMARY KEY (tenant_id, id)
) STRICT;

CREATE INDEX events_by_endpoint ON events (endpoint_id, id);

CREATE TABLE event_bodies (
    tenant_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
) STRICT;

-- Uses of idempotency keys. The bucket is the day (UTC, counted from the epoch) in which the use expires: a look-up
-- touches the few buckets that can hold live ones, and old buckets go by range.
CREATE TABLE idempotency_keys (
    bucket INTEGER NOT NULL,
    endpoint_id BLOB NOT NULL,
    key_hash BLOB NOT NULL,
    event_id BLOB NOT NULL,
    body_sha256 BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (bucket, endpoint_id, key_hash)
) STRICT, WITHOUT ROWID;

-- Undelivered work only: small rows, apart from the payload. A delivery has a row here or one in outcomes, never both.
-- The key is the order in which a lane is worked off; under a lease due_at is the lease's end.
CREATE TABLE queue (
    endpoint_id BLOB NOT NULL,
    due_at INTEGER NOT NULL,
    delivery_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    lease_owner BLOB,
    lease_token INTEGER,
    attempts_total INTEGER NOT NULL,
    attempts_made INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, due_at, delivery_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX queue_by_event ON queue (tenant_id, event_id);

-- The history. Failures without an answer have a failure_kind; those whose answer broke off have a status as well.
CREATE TABLE delivery_attempts (
    tenant_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    delivery_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    url TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    failure_kind TEXT,
    failure_detail TEXT,
    response_status INTEGER,
    response_headers BLOB,
    response_body BLOB,
    response_body_truncated INTEGER,
    PRIMARY KEY (tenant_id, event_id, delivery_id, number, id)
) STRICT, WITHOUT ROWID;

-- Why deliveries ended without success. Success needs no row: it is what is neither queued nor here.
CREATE TABLE outcomes (
    tenant_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    delivery_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    reason TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, event_id, delivery_id)
) STRICT, WITHOUT ROWID;

-- One row that is written to see whether the disk takes writes.
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    beats INTEGER NOT NULL
) STRICT;

INSERT INTO pulse (id, beats) VALUES (1, 0);
