-- queue_oldest_next
-- The oldest queued event of the next tenant behind ?1 who has any: one seek.
SELECT tenant_id, event_id
FROM queue INDEXED BY queue_by_event
WHERE tenant_id > ?1
ORDER BY tenant_id, event_id
LIMIT 1
