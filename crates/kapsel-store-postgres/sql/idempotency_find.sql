-- idempotency_find
-- Many keys at once, unlike SQLite's.
SELECT k.event_id, u.event_id, u.body_sha256
FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS k (event_id, endpoint_id, key_hash)
JOIN idempotency_keys u ON u.endpoint_id = k.endpoint_id AND u.key_hash = k.key_hash AND u.bucket >= $4
WHERE u.expires_at > $5
