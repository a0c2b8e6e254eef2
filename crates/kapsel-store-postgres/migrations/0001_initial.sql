-- Everything that the engine keeps.
--
-- Ids are UUIDv7, which sort by time. Times are microseconds since the Unix epoch, given by the program; the database's
-- clock is never asked. There are no foreign keys, triggers and checks on the tables that each event touches: the engine
-- is the only writer. Tables that grow with every event are partitioned by time, so that old rows go with their
-- partition and are never deleted one by one; each has a default partition, so that a missing one refuses nothing.
-- Partitions are made by the program (src/partitions.rs).

-- Endpoints stay after their deletion, so that their ids stay taken and the change can be told to others.
CREATE TABLE endpoints (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    config text NOT NULL,
    secrets bytea NOT NULL,
    status text NOT NULL CHECK (status IN ('enabled', 'disabled')),
    disabled_reason text CHECK ((disabled_reason IS NULL) = (status = 'enabled')),
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    version bigint NOT NULL,
    deleted_at bigint,
    changed_seq bigint NOT NULL
);

CREATE UNIQUE INDEX endpoints_by_change ON endpoints (changed_seq);
CREATE INDEX endpoints_by_tenant ON endpoints (tenant_id, id);
CREATE INDEX endpoints_deleted ON endpoints (id) WHERE deleted_at IS NOT NULL;

-- The number of the last change to an endpoint. Its row is locked from the change to the commit, so that numbers become
-- visible in their order and nobody who reads on from the last one misses any. SQLite needs no such table: it has one
-- writer.
CREATE TABLE endpoint_change_counter (
    id integer PRIMARY KEY CHECK (id = 1),
    seq bigint NOT NULL
);

INSERT INTO endpoint_change_counter (id, seq) VALUES (1, 0);

-- Accepted webhooks, never changed. One partition a day. Bodies above 64 KiB live in event_bodies. The idempotency key
-- is kept as bytes: it may hold a zero character, which a text column refuses.
CREATE TABLE events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    received_at bigint NOT NULL,
    size_bytes bigint NOT NULL,
    content_type text,
    idempotency_key bytea,
    body_sha256 bytea NOT NULL,
    headers bytea NOT NULL,
    body bytea,
    PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (id);

CREATE INDEX events_by_endpoint ON events (endpoint_id, id);
CREATE TABLE events_default PARTITION OF events DEFAULT;

-- Compressing what is mostly compressed or encrypted already would cost time for nothing.
CREATE TABLE event_bodies (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
) PARTITION BY RANGE (event_id);

ALTER TABLE event_bodies ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE event_bodies_default PARTITION OF event_bodies DEFAULT;

-- Uses of idempotency keys. The bucket is the day (UTC, counted from the epoch) in which the use expires, and a
-- partition. A use that expires shortly after the beginning of a day has a second row, the guard, in the bucket before:
-- there it meets the same key used by another instance a moment earlier. SQLite has the bucket in front of its key; here
-- it stands behind, because one index descent per partition has to find the key.
CREATE TABLE idempotency_keys (
    endpoint_id uuid NOT NULL,
    key_hash bytea NOT NULL,
    bucket bigint NOT NULL,
    event_id uuid NOT NULL,
    body_sha256 bytea NOT NULL,
    expires_at bigint NOT NULL,
    is_guard boolean NOT NULL,
    PRIMARY KEY (endpoint_id, key_hash, bucket)
) PARTITION BY RANGE (bucket);

CREATE TABLE idempotency_keys_default PARTITION OF idempotency_keys DEFAULT;

-- Undelivered work only: small rows, apart from the payload. A delivery has a row here or one in outcomes, never both.
-- Under a lease due_at is the lease's end. Nearly every row is stored under a lease and deleted within a second, so vacuum
-- must come often and must not dawdle.
--
-- queue_lanes is the order in which a lane is worked off. What is leased is not in it: the rows of deliveries that succeed
-- at once never touch it, and a long transaction, which keeps their remains from being removed, does not make the look
-- over the lanes slow. is_leased is cleared when a lease is found to have ended (lease_lapse); only then is the row in its
-- lane again. The lease itself stays as it is, for its holder's word counts until somebody else claims the delivery.
CREATE TABLE queue (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    due_at bigint NOT NULL,
    lease_owner uuid,
    lease_token bigint,
    is_leased boolean NOT NULL,
    attempts_total integer NOT NULL,
    attempts_made integer NOT NULL,
    size_bytes bigint NOT NULL,
    PRIMARY KEY (tenant_id, event_id, delivery_id)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX queue_lanes ON queue (endpoint_id, due_at, delivery_id) WHERE NOT is_leased;
CREATE INDEX queue_leases ON queue (due_at) WHERE is_leased;

-- The history. Failures without an answer have a failure_kind; those whose answer broke off have a status as well. One
-- partition a month, by the event: all attempts of an event are in one place.
CREATE TABLE delivery_attempts (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    number integer NOT NULL,
    id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    url text NOT NULL,
    started_at bigint NOT NULL,
    duration_us bigint NOT NULL,
    failure_kind text,
    failure_detail text,
    response_status integer,
    response_headers bytea,
    response_body bytea,
    response_body_truncated boolean,
    PRIMARY KEY (tenant_id, event_id, delivery_id, number, id)
) PARTITION BY RANGE (event_id);

CREATE TABLE delivery_attempts_default PARTITION OF delivery_attempts DEFAULT;

-- Why deliveries ended without success. Success needs no row: it is what is neither queued nor here. One partition a
-- month, like the attempts.
CREATE TABLE outcomes (
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    reason text NOT NULL,
    ended_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, event_id, delivery_id)
) PARTITION BY RANGE (event_id);

CREATE TABLE outcomes_default PARTITION OF outcomes DEFAULT;

-- The state of each endpoint's circuit breaker, written when it changes; the version is what a change compares with.
CREATE TABLE circuits (
    endpoint_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    opened_at bigint,
    reopen_at bigint,
    opened_times integer NOT NULL,
    probe_owner uuid,
    probe_until bigint,
    version bigint NOT NULL
);

-- One row that is written to see whether the database takes writes.
CREATE TABLE pulse (
    id integer PRIMARY KEY CHECK (id = 1),
    beats bigint NOT NULL
);

INSERT INTO pulse (id, beats) VALUES (1, 0);

-- The running instances.
CREATE TABLE instances (
    id uuid PRIMARY KEY,
    version text NOT NULL,
    started_at bigint NOT NULL,
    last_seen_at bigint NOT NULL,
    is_draining boolean NOT NULL
);

-- Rights that one instance holds at a time, such as that of making partitions. The epoch grows with each holder.
CREATE TABLE leases (
    name text PRIMARY KEY,
    owner uuid NOT NULL,
    epoch bigint NOT NULL,
    until bigint NOT NULL
);

-- The logs of attempts: leaves that wait to be integrated, tiles of 256 hashes (C2SP tlog-tiles), signed heads.
CREATE TABLE log_pending_leaves (
    log_id uuid NOT NULL,
    attempt_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    leaf bytea NOT NULL,
    PRIMARY KEY (log_id, attempt_id)
);

CREATE TABLE log_tiles (
    log_id uuid NOT NULL,
    level smallint NOT NULL,
    tile_index bigint NOT NULL,
    width integer NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (log_id, level, tile_index)
);

CREATE TABLE log_heads (
    log_id uuid NOT NULL,
    tree_size bigint NOT NULL,
    root_hash bytea NOT NULL,
    signed_at bigint NOT NULL,
    key_id text NOT NULL,
    checkpoint bytea NOT NULL,
    PRIMARY KEY (log_id, tree_size)
);

-- The second wall between tenants. The first is the condition on the tenant in each statement. kapsel_api is the role of
-- the management API: it sees the tenant that its transaction names and nothing else, also where a statement forgets to
-- ask. The owner of the tables, under whom deliveries are made, passes.
ALTER TABLE endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_bodies ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE delivery_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE outcomes ENABLE ROW LEVEL SECURITY;
ALTER TABLE circuits ENABLE ROW LEVEL SECURITY;
ALTER TABLE log_pending_leaves ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON endpoints TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
CREATE POLICY tenant_only ON events TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
CREATE POLICY tenant_only ON event_bodies TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
CREATE POLICY tenant_only ON queue TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
CREATE POLICY tenant_only ON delivery_attempts TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
CREATE POLICY tenant_only ON outcomes TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
CREATE POLICY tenant_only ON circuits TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
CREATE POLICY tenant_only ON log_pending_leaves TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE ON endpoints TO kapsel_api;
GRANT SELECT ON events, event_bodies, delivery_attempts, circuits TO kapsel_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON queue TO kapsel_api;
GRANT SELECT, DELETE ON outcomes TO kapsel_api;
GRANT SELECT, UPDATE ON endpoint_change_counter TO kapsel_api;
