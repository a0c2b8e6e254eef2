-- queue_end_of_events
-- What is queued of these events ends without having been delivered. One statement for SQLite's queue_delete and
-- outcome_insert.
WITH gone AS (
    DELETE FROM queue
    WHERE tenant_id = $1 AND event_id = ANY ($2)
    RETURNING tenant_id, event_id, delivery_id, endpoint_id
)
INSERT INTO outcomes (tenant_id, event_id, delivery_id, endpoint_id, reason, ended_at)
SELECT tenant_id, event_id, delivery_id, endpoint_id, $3, $4 FROM gone
ON CONFLICT (tenant_id, event_id, delivery_id) DO UPDATE SET reason = excluded.reason, ended_at = excluded.ended_at
