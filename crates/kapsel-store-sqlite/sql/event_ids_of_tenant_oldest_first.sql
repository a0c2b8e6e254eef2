-- event_ids_of_tenant_oldest_first
SELECT id
FROM events
WHERE tenant_id = ?1 AND id > ?2 AND id < ?3
ORDER BY id
LIMIT ?4
