-- delivery_claim_due
-- One statement for SQLite's endpoint_is_enabled, lane_due and queue_lease. Lane by lane, each by its own index range:
-- a lane with a million rows costs as much as one with ten; leases that have ended are put back into their lanes before. Rows that somebody else is claiming are passed over. The
-- running sum ends the claim in front of the first body that would go beyond the budget; the first is taken in any case.
WITH found AS MATERIALIZED (
    SELECT l.place, q.tenant_id, q.event_id, q.delivery_id, q.due_at, q.size_bytes
    FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS l (endpoint_id, quota, place)
    JOIN endpoints e ON e.id = l.endpoint_id AND e.status = 'enabled' AND e.deleted_at IS NULL
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
    WHERE (s.turn = 1 OR s.bytes <= $4::bigint) AND q.tenant_id = s.tenant_id AND q.event_id = s.event_id
        AND q.delivery_id = s.delivery_id
    RETURNING s.turn, q.tenant_id, q.event_id, q.delivery_id, q.endpoint_id, q.attempts_total, q.attempts_made
)
SELECT tenant_id, event_id, delivery_id, endpoint_id, attempts_total, attempts_made
FROM claimed
ORDER BY turn
