-- outcomes_of_event
SELECT delivery_id, endpoint_id, reason
FROM outcomes
WHERE tenant_id = ?1 AND event_id = ?2
