-- event_ids_queued_oldest_first
SELECT DISTINCT event_id
FROM queue INDEXED BY queue_by_event
WHERE tenant_id = ?1 AND event_id > ?2 AND event_id < ?3
ORDER BY event_id
LIMIT ?4
