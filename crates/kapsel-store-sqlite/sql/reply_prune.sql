-- reply_prune
DELETE FROM api_replies
WHERE tenant_id = ?1 AND key_hash IN (
    SELECT key_hash FROM api_replies WHERE tenant_id = ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3
)
