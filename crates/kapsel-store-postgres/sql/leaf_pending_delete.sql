-- leaf_pending_delete
-- Many at once, each as a range of one (docs/adr/0007).
DELETE FROM log_pending p USING unnest($2::uuid[]) AS i (attempt_id)
WHERE p.log_id = $1 AND p.attempt_id >= i.attempt_id AND p.attempt_id <= i.attempt_id
