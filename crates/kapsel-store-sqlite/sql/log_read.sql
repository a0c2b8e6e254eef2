-- log_read
SELECT id, origin, size, root, epoch, lease_owner, lease_until, published_size, published_root, created_at
FROM logs
WHERE id = ?1
