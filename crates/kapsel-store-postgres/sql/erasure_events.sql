-- erasure_events
-- What is left for a job: events, and those of which only attempts are kept. Each part ends at the limit by itself:
-- PostgreSQL would otherwise read all of both before it looks for the first.
(SELECT id
FROM events
WHERE tenant_id = $1 AND id > $2 AND id < $3
ORDER BY id
LIMIT $4)
UNION ALL
(SELECT event_id
FROM delivery_attempts
WHERE tenant_id = $1 AND event_id > $2 AND event_id < $3
ORDER BY event_id
LIMIT $4)
ORDER BY id
LIMIT $4
