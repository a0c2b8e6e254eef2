-- delivery_claim_due
-- One statement for SQLite's endpoint_is_enabled, lane_due, queue_lease and event_read. Lane by lane, each by its own index
-- range: a lane with a million rows costs as much as one with ten. Rows that somebody else is claiming are passed over,
-- and lanes whose circuit is not in the version that the claim knows.
-- Leases that have ended are put back into their lanes before (lease_lapse). The running sum ends the claim in front of
-- the first body that would go beyond the budget; the first is taken in any case.
WITH found AS MATERIALIZED (
    SELECT l.place, q.tenant_id, q.event_id, q.delivery_id, q.due_at, q.size_bytes
    FROM unnest($1::uuid[], $2::bigint[], $8::bigint[]) WITH ORDINALITY AS l (endpoint_id, quota, version, place)
    CROSS JOIN LATERAL (
        SELECT 1
        FROM endpoints e
        WHERE e.id = l.endpoint_id AND e.status = 'enabled' AND e.deleted_at IS NULL
            AND (SELECT t.status FROM tenants t WHERE t.id = e.tenant_id) IS DISTINCT FROM 'suspended'
            AND coalesce((SELECT k.version FROM circuits k WHERE k.endpoint_id = l.endpoint_id), 0) = l.version
        OFFSET 0
    ) e
    CROSS JOIN LATERAL (
        SELECT w.tenant_id, w.event_id, w.delivery_id, w.due_at, w.size_bytes
        FROM queue w
        WHERE w.endpoint_id = l.endpoint_id AND NOT w.is_leased AND w.due_at <= $3
        ORDER BY w.due_at, w.delivery_id
        LIMIT l.quota
        FOR UPDATE SKIP LOCKED
    ) q
),
summed AS MATERIALIZED (
    SELECT f.*, row_number() OVER turn AS turn, sum(f.size_bytes) OVER turn AS bytes
    FROM found f
    WINDOW turn AS (ORDER BY f.place, f.due_at, f.delivery_id ROWS UNBOUNDED PRECEDING)
),
claimed AS (
    UPDATE queue q
    SET due_at = $5, lease_owner = $6, lease_token = $7, is_leased = true
    FROM summed s
    WHERE (s.turn = 1 OR s.bytes <= $4::bigint)
        AND q.tenant_id = ANY (ARRAY[s.tenant_id])
        AND (q.event_id, q.delivery_id) >= (s.event_id, s.delivery_id)
        AND (q.event_id, q.delivery_id) <= (s.event_id, s.delivery_id)
    RETURNING s.turn, q.tenant_id, q.event_id, q.delivery_id, q.endpoint_id, q.attempts_total, q.attempts_made
)
SELECT c.tenant_id, c.event_id, c.delivery_id, c.endpoint_id, c.attempts_total, c.attempts_made, e.endpoint_id,
    e.received_at, e.idempotency_key, e.headers, e.body_sha256,
    coalesce(e.body, (SELECT b.body FROM event_bodies b WHERE b.tenant_id = c.tenant_id AND b.event_id = c.event_id))
FROM claimed c
LEFT JOIN LATERAL (
    SELECT v.endpoint_id, v.received_at, v.idempotency_key, v.headers, v.body_sha256, v.body
    FROM events v
    WHERE v.tenant_id = c.tenant_id AND v.id = c.event_id
    OFFSET 0
) e ON true
ORDER BY c.turn
