-- head_latest
SELECT size, root, signed_at, checkpoint
FROM log_heads
WHERE log_id = ?1
ORDER BY size DESC
LIMIT 1
