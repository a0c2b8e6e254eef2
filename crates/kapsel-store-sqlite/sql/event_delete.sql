-- event_delete
DELETE FROM events
WHERE tenant_id = ?1 AND id = ?2
