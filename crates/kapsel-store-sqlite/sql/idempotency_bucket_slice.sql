-- idempotency_bucket_slice
SELECT endpoint_id, key_hash, expires_at
FROM idempotency_keys
WHERE bucket = ?1 AND (endpoint_id, key_hash) > (?2, ?3)
ORDER BY endpoint_id, key_hash
LIMIT ?4
