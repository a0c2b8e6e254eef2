-- The state of each endpoint's circuit breaker, written when it changes. The version is what a change compares with.
-- blocked_until keeps a lane off the list of those that are due, for everybody but the prober. Endpoints whose circuit
-- never changed have no row.
CREATE TABLE circuits (
    endpoint_id BLOB PRIMARY KEY NOT NULL,
    tenant_id BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    blocked_until INTEGER,
    prober BLOB,
    opened_at INTEGER,
    opened_times INTEGER NOT NULL,
    failing_since INTEGER,
    changed_at INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX circuits_by_change ON circuits (changed_at);
CREATE INDEX circuits_probed ON circuits (endpoint_id) WHERE prober IS NOT NULL;
