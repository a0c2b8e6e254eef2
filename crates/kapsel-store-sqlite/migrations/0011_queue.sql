-- Each commit writes whole pages, so what matters is how many places of the file an event touches. Leased deliveries stand
-- together at the end of the queue: a webhook that is delivered at once is inserted there and deleted there, beside its
-- like, and touches nothing of the lanes. There are never more of them than deliveries under way, so leases that have ended
-- are found by looking at all of them, without an index.
DROP INDEX queue_by_event;
ALTER TABLE queue RENAME TO former_queue;

-- Undelivered work only: small rows, apart from the payload. A delivery has a row here or one in outcomes, never both.
-- Under a lease due_at is the lease's end. is_leased is cleared when a lease is found to have ended (lease_lapse); only
-- then is the row in its lane again. The lease itself stays as it is, for its holder's word counts until somebody else
-- claims the delivery.
CREATE TABLE queue (
    is_leased INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    delivery_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    due_at INTEGER NOT NULL,
    lease_owner BLOB,
    lease_token INTEGER,
    attempts_total INTEGER NOT NULL,
    attempts_made INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (is_leased, tenant_id, event_id, delivery_id)
) STRICT, WITHOUT ROWID;

INSERT INTO queue
    (is_leased, tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, attempts_total,
     attempts_made, size_bytes)
SELECT lease_token IS NOT NULL, tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token,
    attempts_total, attempts_made, size_bytes
FROM former_queue
ORDER BY 1, 2, 3, 4;

DROP TABLE former_queue;

-- The order in which a lane is worked off. The token, which is hardly ever there, spares the walk over the lanes the rows.
CREATE INDEX queue_lanes ON queue (endpoint_id, due_at, delivery_id, lease_token) WHERE is_leased = 0;
