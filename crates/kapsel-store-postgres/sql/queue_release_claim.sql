-- queue_release_claim
-- Everything under one lease, found by the lease's end. SQLite looks through the queue for it.
UPDATE queue
SET due_at = $1, lease_owner = NULL, lease_token = NULL, is_leased = false
WHERE is_leased AND due_at = $2 AND due_at > $1 AND lease_token = $3
