-- lease_lapse
-- Puts deliveries whose lease ended between $1 and $2 back into their lanes. The lease stays what it was.
WITH ended AS (
    SELECT q.tenant_id, q.event_id, q.delivery_id
    FROM queue q
    WHERE q.is_leased AND q.due_at > $1 AND q.due_at <= $2
    ORDER BY q.due_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE queue q
SET is_leased = false
FROM ended e
WHERE q.tenant_id = ANY (ARRAY[e.tenant_id])
        AND (q.event_id, q.delivery_id) >= (e.event_id, e.delivery_id)
        AND (q.event_id, q.delivery_id) <= (e.event_id, e.delivery_id)
