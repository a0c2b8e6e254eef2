-- event_of_endpoint_delete
DELETE FROM events_of_endpoints
WHERE tenant_id = ?1 AND event_id = ?2
    AND endpoint_id = (SELECT endpoint_id FROM events WHERE tenant_id = ?1 AND id = ?2)
