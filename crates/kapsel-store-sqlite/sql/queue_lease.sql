-- queue_lease
UPDATE queue
SET due_at = ?4, lease_owner = ?5, lease_token = ?6
WHERE endpoint_id = ?1 AND due_at = ?2 AND delivery_id = ?3
