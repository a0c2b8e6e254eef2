-- queue_release_all
-- Looks at every row: for the start of a process only.
UPDATE queue
SET due_at = $1, lease_owner = NULL, lease_token = NULL, is_leased = false
WHERE lease_token IS NOT NULL AND ($2::uuid IS NULL OR lease_owner = $2)
