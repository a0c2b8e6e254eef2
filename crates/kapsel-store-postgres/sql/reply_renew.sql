-- reply_renew
UPDATE api_replies
SET request_hash = $3, token = $4, lapses_at = $5, expires_at = $6, status = NULL, headers = NULL, body = NULL
WHERE tenant_id = $1 AND key_hash = $2
