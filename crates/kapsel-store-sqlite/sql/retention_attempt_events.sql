-- retention_attempt_events
-- Row by row, so that an event with many attempts counts for each of them.
SELECT event_id
FROM delivery_attempts
WHERE tenant_id = ?1 AND event_id > ?2 AND event_id < ?3
UNION ALL
SELECT event_id
FROM outcomes
WHERE tenant_id = ?1 AND event_id > ?2 AND event_id < ?3
ORDER BY event_id
LIMIT ?4
