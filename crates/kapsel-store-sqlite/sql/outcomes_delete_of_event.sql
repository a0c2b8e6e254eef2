-- outcomes_delete_of_event
DELETE FROM outcomes
WHERE tenant_id = ?1 AND event_id = ?2
