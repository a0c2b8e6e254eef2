-- idempotency_bucket_next
SELECT bucket
FROM idempotency_keys
WHERE bucket >= ?1
ORDER BY bucket
LIMIT 1
