-- erasure_events
-- What is left for a job: events, and those of which only attempts are kept.
SELECT id
FROM events
WHERE tenant_id = ?1 AND id > ?2 AND id < ?3
UNION ALL
SELECT event_id
FROM delivery_attempts
WHERE tenant_id = ?1 AND event_id > ?2 AND event_id < ?3
ORDER BY id
LIMIT ?4
