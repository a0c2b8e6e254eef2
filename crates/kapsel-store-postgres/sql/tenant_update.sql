-- tenant_update
UPDATE tenants
SET config = $2, status = $3, updated_at = $4, version = $5, changed_seq = $6
WHERE id = $1
