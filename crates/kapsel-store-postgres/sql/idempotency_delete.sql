-- idempotency_delete
-- Many uses at once, unlike SQLite's. Only what has expired: somebody may have used a key anew meanwhile.
DELETE FROM idempotency_keys u
USING unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS k (endpoint_id, key_hash, bucket)
WHERE u.endpoint_id = ANY (ARRAY[k.endpoint_id]) AND (u.key_hash, u.bucket) >= (k.key_hash, k.bucket)
    AND (u.key_hash, u.bucket) <= (k.key_hash, k.bucket)
    AND u.expires_at <= $4
RETURNING u.is_guard
