-- endpoint_version
-- Locks the row, unlike SQLite's: of two changes from one version, the second waits and finds the first.
SELECT version, status = 'enabled'
FROM endpoints
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
FOR UPDATE
