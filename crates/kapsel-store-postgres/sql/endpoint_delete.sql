-- endpoint_delete
-- The row stays, its secrets do not.
UPDATE endpoints
SET deleted_at = $3, updated_at = $3, secrets = '', changed_seq = $4
WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL
