-- endpoint_list
SELECT id, tenant_id, config, secrets, status, disabled_reason, created_at, updated_at, version
FROM endpoints INDEXED BY endpoints_by_tenant
WHERE tenant_id = ?1 AND id > ?2 AND deleted_at IS NULL
ORDER BY id
LIMIT ?3
