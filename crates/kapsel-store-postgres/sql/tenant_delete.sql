-- tenant_delete
UPDATE tenants
SET status = 'deleted', updated_at = $2, version = version + 1, changed_seq = $3
WHERE id = $1 AND status <> 'deleted'
