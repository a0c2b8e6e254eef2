-- reply_release_if_claimed
DELETE FROM api_replies WHERE tenant_id = ?1 AND key_hash = ?2 AND token = ?3 AND status IS NULL
