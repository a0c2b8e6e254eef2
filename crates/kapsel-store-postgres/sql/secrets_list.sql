-- secrets_list
SELECT id, tenant_id, secrets
FROM endpoints
WHERE id > $1 AND deleted_at IS NULL
ORDER BY id
LIMIT $2
