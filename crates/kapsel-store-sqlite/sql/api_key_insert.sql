-- api_key_insert
INSERT INTO api_keys
    (tenant_id, id, name, prefix, sha256, scopes, created_at, expires_at, revoked_at, last_used_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT DO NOTHING
