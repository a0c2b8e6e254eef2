-- queue_release_claim
-- Everything under one lease. Looks at what is leased: for claims whose answer was lost.
UPDATE queue
SET is_leased = 0, due_at = ?1, lease_owner = NULL, lease_token = NULL
WHERE is_leased = 1 AND due_at = ?2 AND due_at > ?1 AND lease_token = ?3
