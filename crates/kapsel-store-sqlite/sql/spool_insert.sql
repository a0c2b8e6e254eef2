-- spool_insert
INSERT INTO spool
    (id, tenant_id, endpoint_id, received_at, size_bytes, idempotency_key, key_hash, key_explicit, key_expires_at,
    body_sha256, deliveries, headers, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (id) DO NOTHING
