-- leaf_of_attempt
SELECT l.attempt_id, l.log_id, l.data, e.leaf_index
FROM log_leaves l
LEFT JOIN LATERAL (SELECT e.leaf_index FROM log_entries e WHERE e.attempt_id = $2 OFFSET 0) e ON true
WHERE l.tenant_id = $1 AND l.attempt_id = $2
