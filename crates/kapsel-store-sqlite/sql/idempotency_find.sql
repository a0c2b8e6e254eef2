-- idempotency_find
SELECT event_id, body_sha256, expires_at
FROM idempotency_keys
WHERE bucket = ?1 AND endpoint_id = ?2 AND key_hash = ?3
