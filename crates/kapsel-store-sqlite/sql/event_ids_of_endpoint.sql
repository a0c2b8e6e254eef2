-- event_ids_of_endpoint
-- Without those that wait to be sorted.
SELECT event_id
FROM events_of_endpoints
WHERE tenant_id = ?1 AND endpoint_id = ?5 AND event_id >= ?2 AND event_id < ?3
ORDER BY event_id DESC
LIMIT ?4
