-- head_list
SELECT size, root, signed_at, checkpoint
FROM log_heads
WHERE log_id = ?1 AND size > ?2
ORDER BY size
LIMIT ?3
