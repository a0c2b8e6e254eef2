-- event_ids_undelivered_oldest_first
-- Each part ends at the limit by itself: PostgreSQL would otherwise read all of both before it looks for the first.
(SELECT DISTINCT event_id
FROM queue
WHERE tenant_id = $1 AND event_id > $2 AND event_id < $3
ORDER BY event_id
LIMIT $4)
UNION
(SELECT DISTINCT event_id
FROM outcomes
WHERE tenant_id = $1 AND event_id > $2 AND event_id < $3
ORDER BY event_id
LIMIT $4)
ORDER BY event_id
LIMIT $4
