-- event_ids_of_endpoint_oldest_first
SELECT id
FROM events INDEXED BY events_by_endpoint
WHERE tenant_id = ?1 AND id > ?2 AND id < ?3 AND endpoint_id = ?5
ORDER BY id
LIMIT ?4
