-- reply_insert
INSERT INTO api_replies (tenant_id, key_hash, request_hash, token, lapses_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, key_hash) DO NOTHING
