-- leaf_of_attempt
SELECT l.attempt_id, l.log_id, l.data, (SELECT e.leaf_index FROM log_entries e WHERE e.attempt_id = l.attempt_id)
FROM log_leaves l
WHERE l.tenant_id = ?1 AND l.attempt_id = ?2
