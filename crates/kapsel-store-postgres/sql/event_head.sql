-- event_head
-- Of many events at once, unlike SQLite's.
SELECT id, endpoint_id, received_at, content_type, size_bytes, idempotency_key, erased_at
FROM events
WHERE tenant_id = $1 AND id = ANY ($2)
