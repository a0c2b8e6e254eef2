-- event_ids_given_up_oldest_first
SELECT DISTINCT event_id
FROM outcomes
WHERE tenant_id = ?1 AND event_id > ?2 AND event_id < ?3
ORDER BY event_id
LIMIT ?4
