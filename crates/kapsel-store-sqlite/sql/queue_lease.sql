-- queue_lease
-- Takes a delivery out of its lane.
UPDATE queue
SET is_leased = 1, due_at = ?4, lease_owner = ?5, lease_token = ?6
WHERE is_leased = 0 AND tenant_id = ?1 AND event_id = ?2 AND delivery_id = ?3
