-- spool_read
SELECT seq, id, tenant_id, endpoint_id, received_at, size_bytes, idempotency_key, key_hash, key_explicit,
    key_expires_at, body_sha256, deliveries, headers, body
FROM spool
WHERE seq > ?1
ORDER BY seq
LIMIT ?2
