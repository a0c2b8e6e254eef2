-- leaf_pending_delete
DELETE FROM log_pending
WHERE log_id = ?1 AND attempt_id = ?2
