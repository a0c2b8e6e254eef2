-- leaf_pending_of_hash
-- Looks at everything that waits, which is what was settled within the last second.
SELECT attempt_id
FROM log_pending
WHERE hash = ?1
