-- idempotency_find
-- Many keys at once, unlike SQLite's.
SELECT k.event_id, u.event_id, u.body_sha256
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS k (event_id, endpoint_id, key_hash)
CROSS JOIN LATERAL (
    SELECT w.event_id, w.body_sha256
    FROM idempotency_keys w
    WHERE w.endpoint_id = k.endpoint_id AND w.key_hash = k.key_hash AND w.bucket >= $4 AND w.expires_at > $5
    OFFSET 0
) u
