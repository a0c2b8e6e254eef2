-- endpoint_update
UPDATE endpoints
SET config = $3, secrets = $4, status = $5, disabled_reason = $6, updated_at = $7, version = $8, changed_seq = $9
WHERE tenant_id = $1 AND id = $2
