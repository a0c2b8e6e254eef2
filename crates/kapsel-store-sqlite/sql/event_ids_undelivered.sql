-- event_ids_undelivered
SELECT event_id
FROM queue
WHERE is_leased = 0 AND tenant_id = ?1 AND event_id >= ?2 AND event_id < ?3
UNION
SELECT event_id
FROM queue
WHERE is_leased = 1 AND tenant_id = ?1 AND event_id >= ?2 AND event_id < ?3
UNION
SELECT event_id
FROM outcomes
WHERE tenant_id = ?1 AND event_id >= ?2 AND event_id < ?3
ORDER BY event_id DESC
LIMIT ?4
