-- retention_attempt_events
-- Each part ends at the limit by itself: PostgreSQL would otherwise read all of both before it looks for the first. Row by
-- row, so that an event with many attempts counts for each of them.
(SELECT event_id
FROM delivery_attempts
WHERE tenant_id = $1 AND event_id > $2 AND event_id < $3
ORDER BY event_id
LIMIT $4)
UNION ALL
(SELECT event_id
FROM outcomes
WHERE tenant_id = $1 AND event_id > $2 AND event_id < $3
ORDER BY event_id
LIMIT $4)
ORDER BY event_id
LIMIT $4
