-- queue_release_claim
-- Everything under one lease. Looks at every row: for claims whose answer was lost.
UPDATE queue
SET due_at = ?1, lease_owner = NULL, lease_token = NULL
WHERE due_at = ?2 AND due_at > ?1 AND lease_token = ?3
