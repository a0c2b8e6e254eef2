-- entry_list
SELECT e.leaf_index, e.attempt_id, l.data
FROM log_entries e
LEFT JOIN LATERAL (SELECT l.data FROM log_leaves l WHERE l.attempt_id = e.attempt_id OFFSET 0) l ON true
WHERE e.log_id = $1 AND e.leaf_index >= $2
ORDER BY e.leaf_index
LIMIT $3
