-- log_lease_take
-- One's own lease goes on under the same epoch.
UPDATE logs
SET epoch = epoch + (lease_owner IS NOT ?2), lease_owner = ?2, lease_until = ?3
WHERE id = ?1 AND (lease_owner IS NULL OR lease_owner = ?2 OR lease_until <= ?4)
