-- The log of attempts. A leaf is written with its attempt and waits in log_pending; from there it goes into the tree, which
-- is stored as tiles of 256 hashes. Heads are what was signed, as it was signed. The tables that the first migration kept
-- the place with have never held anything.
DROP TABLE log_pending_leaves;
DROP TABLE log_tiles;
DROP TABLE log_heads;

-- The secret that the salts of the leaf's commitments follow from. It goes with the attempt or before it; the leaf stays.
ALTER TABLE delivery_attempts ADD COLUMN leaf_secret bytea;

-- One row for each log; today there is one, named 'default'. Size, root and epoch are what every step compares with.
CREATE TABLE logs (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    origin text NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    epoch bigint NOT NULL,
    lease_owner uuid,
    lease_until bigint,
    published_size bigint,
    published_root bytea,
    created_at bigint NOT NULL
);

-- The exact bytes of every leaf, for ever.
CREATE TABLE log_leaves (
    attempt_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    log_id uuid NOT NULL,
    data bytea NOT NULL
);

CREATE TABLE log_pending (
    log_id uuid NOT NULL,
    attempt_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (log_id, attempt_id)
) WITH (
    -- Every row goes within a second, as those of the queue do.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

-- Which leaf stands where. Its hash is found by the first eight bytes; the whole of it stands in the tile.
CREATE TABLE log_entries (
    log_id uuid NOT NULL,
    leaf_index bigint NOT NULL,
    attempt_id uuid NOT NULL,
    hash_prefix bigint NOT NULL,
    PRIMARY KEY (log_id, leaf_index)
);

CREATE UNIQUE INDEX log_entries_by_attempt ON log_entries (attempt_id);
CREATE INDEX log_entries_by_hash ON log_entries (hash_prefix);

-- Hashes cannot be compressed, so nobody should try.
CREATE TABLE log_tiles (
    log_id uuid NOT NULL,
    level smallint NOT NULL,
    tile_index bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (log_id, level, tile_index)
);
ALTER TABLE log_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

CREATE TABLE log_heads (
    log_id uuid NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    signed_at bigint NOT NULL,
    checkpoint text NOT NULL,
    PRIMARY KEY (log_id, size)
);

CREATE TABLE log_keys (
    log_id uuid NOT NULL,
    verifier_key text NOT NULL,
    created_at bigint NOT NULL,
    signs_until bigint,
    PRIMARY KEY (log_id, verifier_key)
);

-- The second wall between tenants, as for the other tables. What has no tenant is public, or says nothing by itself.
ALTER TABLE log_leaves ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON log_leaves TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);

GRANT SELECT ON logs, log_leaves, log_pending, log_entries, log_tiles, log_heads, log_keys TO kapsel_api;
