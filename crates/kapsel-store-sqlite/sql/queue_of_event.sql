-- queue_of_event
SELECT q.delivery_id, q.endpoint_id, q.due_at, q.lease_token IS NOT NULL, q.attempts_total,
    e.id IS NULL OR e.deleted_at IS NOT NULL
FROM queue q LEFT JOIN endpoints e ON e.id = q.endpoint_id
WHERE q.is_leased IN (0, 1) AND q.tenant_id = ?1 AND q.event_id = ?2
