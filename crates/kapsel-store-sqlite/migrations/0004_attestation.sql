-- The log of attempts. A leaf is written with its attempt and waits in log_pending; from there it goes into the tree, which
-- is stored as tiles of 256 hashes. Heads are what was signed, as it was signed.

-- The secret that the salts of the leaf's commitments follow from. It goes with the attempt or before it; the leaf stays.
ALTER TABLE delivery_attempts ADD COLUMN leaf_secret BLOB;

-- One row for each log; today there is one, named 'default'. Size, root and epoch are what every step compares with.
CREATE TABLE logs (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    lease_owner BLOB,
    lease_until INTEGER,
    published_size INTEGER,
    published_root BLOB,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The exact bytes of every leaf, for ever. A rowid table, because its rows are large.
CREATE TABLE log_leaves (
    attempt_id BLOB PRIMARY KEY NOT NULL,
    tenant_id BLOB NOT NULL,
    log_id BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE log_pending (
    log_id BLOB NOT NULL,
    attempt_id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (log_id, attempt_id)
) STRICT, WITHOUT ROWID;

-- Which leaf stands where. Its hash is found by the first eight bytes; the whole of it stands in the tile.
CREATE TABLE log_entries (
    log_id BLOB NOT NULL,
    leaf_index INTEGER NOT NULL,
    attempt_id BLOB NOT NULL,
    hash_prefix INTEGER NOT NULL,
    PRIMARY KEY (log_id, leaf_index)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX log_entries_by_attempt ON log_entries (attempt_id);
CREATE INDEX log_entries_by_hash ON log_entries (hash_prefix);

CREATE TABLE log_tiles (
    log_id BLOB NOT NULL,
    level INTEGER NOT NULL,
    tile_index INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (log_id, level, tile_index)
) STRICT;

CREATE TABLE log_heads (
    log_id BLOB NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    signed_at INTEGER NOT NULL,
    checkpoint TEXT NOT NULL,
    PRIMARY KEY (log_id, size)
) STRICT;

CREATE TABLE log_keys (
    log_id BLOB NOT NULL,
    verifier_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    signs_until INTEGER,
    PRIMARY KEY (log_id, verifier_key)
) STRICT, WITHOUT ROWID;
