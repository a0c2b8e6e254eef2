-- queue_release_all
-- Looks at every row: for the start of a process only.
UPDATE queue
SET is_leased = 0, due_at = ?1, lease_owner = NULL, lease_token = NULL
WHERE lease_token IS NOT NULL AND (?2 IS NULL OR lease_owner = ?2)
