-- event_exists
SELECT 1 FROM events WHERE tenant_id = ?1 AND id = ?2
