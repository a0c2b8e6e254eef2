-- queue_retry_if_leased
UPDATE queue
SET due_at = ?5, lease_owner = NULL, lease_token = NULL, attempts_total = attempts_total + 1,
    attempts_made = attempts_made + 1
WHERE endpoint_id = ?1 AND due_at = ?2 AND delivery_id = ?3 AND lease_token = ?4
