-- leaf_pending_list
SELECT attempt_id, tenant_id, hash
FROM log_pending
WHERE log_id = ?1
ORDER BY attempt_id
LIMIT ?2
