-- tenant_delete
UPDATE tenants
SET status = 'deleted', updated_at = ?2, version = version + 1, changed_seq = (SELECT max(changed_seq) + 1 FROM tenants)
WHERE id = ?1 AND status <> 'deleted'
