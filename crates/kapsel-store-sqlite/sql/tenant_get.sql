-- tenant_get
SELECT id, config, status, created_at, updated_at, version, changed_seq
FROM tenants
WHERE id = ?1 AND status <> 'deleted'
