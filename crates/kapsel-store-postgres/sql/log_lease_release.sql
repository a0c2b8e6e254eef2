-- log_lease_release
UPDATE logs
SET lease_owner = NULL, lease_until = NULL
WHERE name = $2 AND lease_owner IS NOT NULL AND ($1::uuid IS NULL OR lease_owner = $1)
