-- queue_of_event
-- Of many events at once, unlike SQLite's.
SELECT q.event_id, q.delivery_id, q.endpoint_id, q.due_at, q.lease_token IS NOT NULL, q.attempts_total,
    e.id IS NULL OR e.deleted_at IS NOT NULL
FROM queue q
LEFT JOIN LATERAL (
    SELECT p.id, p.deleted_at FROM endpoints p WHERE p.tenant_id = $1 AND p.id = q.endpoint_id OFFSET 0
) e ON true
WHERE q.tenant_id = $1 AND q.event_id = ANY ($2)
