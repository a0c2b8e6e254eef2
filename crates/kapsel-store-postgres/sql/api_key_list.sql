-- api_key_list
SELECT id, tenant_id, name, prefix, sha256, scopes, created_at, expires_at, revoked_at, last_used_at
FROM api_keys
WHERE tenant_id = $1 AND id > $2
ORDER BY id
LIMIT $3
