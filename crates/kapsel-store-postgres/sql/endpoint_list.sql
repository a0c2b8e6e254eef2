-- endpoint_list
SELECT id, tenant_id, config, secrets, disabled_reason, created_at, updated_at, version
FROM endpoints
WHERE tenant_id = $1 AND id > $2 AND deleted_at IS NULL
ORDER BY id
LIMIT $3
