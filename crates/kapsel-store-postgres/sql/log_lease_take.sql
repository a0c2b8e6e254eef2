-- log_lease_take
-- One's own lease goes on under the same epoch.
UPDATE logs
SET epoch = epoch + CASE WHEN lease_owner = $2 THEN 0 ELSE 1 END, lease_owner = $2, lease_until = $3
WHERE id = $1 AND (lease_owner IS NULL OR lease_owner = $2 OR lease_until <= $4)
RETURNING id, origin, size, root, epoch, lease_owner, lease_until, published_size, published_root, created_at
