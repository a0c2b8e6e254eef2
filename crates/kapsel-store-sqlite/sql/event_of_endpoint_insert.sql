-- event_of_endpoint_insert
-- Not of an event that was removed while it waited to be sorted; nor twice, when sorting was broken off and begins anew.
INSERT INTO events_of_endpoints (tenant_id, endpoint_id, event_id)
SELECT ?1, ?2, ?3
WHERE EXISTS (SELECT 1 FROM events WHERE tenant_id = ?1 AND id = ?3)
ON CONFLICT (tenant_id, endpoint_id, event_id) DO NOTHING
