-- api_key_find
SELECT id, tenant_id, name, prefix, sha256, scopes, created_at, expires_at, revoked_at, last_used_at
FROM api_keys
WHERE prefix = $1
