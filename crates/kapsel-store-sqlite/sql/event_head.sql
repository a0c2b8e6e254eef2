-- event_head
SELECT endpoint_id, received_at, content_type, size_bytes, idempotency_key, erased_at
FROM events
WHERE tenant_id = ?1 AND id = ?2
