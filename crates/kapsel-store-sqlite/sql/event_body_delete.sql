-- event_body_delete
DELETE FROM event_bodies
WHERE tenant_id = ?1 AND event_id = ?2
