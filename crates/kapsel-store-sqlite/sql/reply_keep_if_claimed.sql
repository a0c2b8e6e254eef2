-- reply_keep_if_claimed
UPDATE api_replies SET status = ?4, headers = ?5, body = ?6 WHERE tenant_id = ?1 AND key_hash = ?2 AND token = ?3
