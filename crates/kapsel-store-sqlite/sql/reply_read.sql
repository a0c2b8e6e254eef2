-- reply_read
SELECT request_hash, lapses_at, expires_at, status, headers, body
FROM api_replies
WHERE tenant_id = ?1 AND key_hash = ?2
