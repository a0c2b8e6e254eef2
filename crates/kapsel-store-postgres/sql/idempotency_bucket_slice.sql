-- idempotency_bucket_slice
-- Over all days up to the present one, unlike SQLite's: the past ones are empty once their partitions are dropped.
SELECT endpoint_id, key_hash, bucket, expires_at, is_guard
FROM idempotency_keys
WHERE bucket <= $1 AND (endpoint_id, key_hash, bucket) > ($2, $3, $4)
ORDER BY endpoint_id, key_hash, bucket
LIMIT $5
