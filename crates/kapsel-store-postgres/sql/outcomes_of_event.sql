-- outcomes_of_event
-- Of many events at once, unlike SQLite's.
SELECT event_id, delivery_id, endpoint_id, reason
FROM outcomes
WHERE tenant_id = $1 AND event_id = ANY ($2)
