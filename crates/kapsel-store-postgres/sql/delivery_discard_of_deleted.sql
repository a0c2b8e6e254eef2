-- delivery_discard_of_deleted
-- What nobody may be working on, of endpoints that are gone. Leases that have ended are put back into their lanes before
-- (lease_lapse). One statement for SQLite's lane_idle, queue_delete and outcome_insert.
WITH doomed AS MATERIALIZED (
    SELECT q.tenant_id, q.event_id, q.delivery_id, q.endpoint_id
    FROM endpoints e
    CROSS JOIN LATERAL (
        SELECT w.tenant_id, w.event_id, w.delivery_id, w.endpoint_id
        FROM queue w
        WHERE w.endpoint_id = e.id AND NOT w.is_leased
        ORDER BY w.due_at, w.delivery_id
        LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) q
    WHERE e.deleted_at IS NOT NULL
    LIMIT $2
),
gone AS (
    DELETE FROM queue q USING doomed d
    WHERE q.tenant_id = ANY (ARRAY[d.tenant_id])
        AND (q.event_id, q.delivery_id) >= (d.event_id, d.delivery_id)
        AND (q.event_id, q.delivery_id) <= (d.event_id, d.delivery_id)
    RETURNING q.tenant_id, q.event_id, q.delivery_id, q.endpoint_id
),
ended AS (
    INSERT INTO outcomes (tenant_id, event_id, delivery_id, endpoint_id, reason, ended_at)
    SELECT tenant_id, event_id, delivery_id, endpoint_id, $3, $1 FROM gone
    ON CONFLICT (tenant_id, event_id, delivery_id) DO UPDATE SET reason = excluded.reason, ended_at = excluded.ended_at
)
SELECT count(*) FROM gone
