-- endpoint_version
SELECT version
FROM endpoints
WHERE tenant_id = ?1 AND id = ?2 AND deleted_at IS NULL
