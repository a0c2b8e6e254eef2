-- attempts_delete_of_event
DELETE FROM delivery_attempts
WHERE tenant_id = ?1 AND event_id = ?2
