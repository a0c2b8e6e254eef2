-- idempotency_insert
INSERT INTO idempotency_keys (bucket, endpoint_id, key_hash, event_id, body_sha256, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
