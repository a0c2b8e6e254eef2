-- api_key_touch
UPDATE api_keys SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2 AND coalesce(last_used_at < $3, true)
