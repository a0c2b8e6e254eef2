-- queue_retry_if_leased
UPDATE queue
SET is_leased = 0, due_at = ?6, lease_owner = NULL, lease_token = NULL, attempts_total = attempts_total + 1,
    attempts_made = attempts_made + 1
WHERE is_leased = ?5 AND tenant_id = ?1 AND event_id = ?2 AND delivery_id = ?3 AND lease_token = ?4
