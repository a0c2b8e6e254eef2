-- idempotency_give_back
-- An event that won the guard of its key but not the key itself takes the guard back, in the same transaction.
DELETE FROM idempotency_keys u
USING unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS k (event_id, endpoint_id, key_hash)
WHERE u.endpoint_id = ANY (ARRAY[k.endpoint_id]) AND u.key_hash >= k.key_hash AND u.key_hash <= k.key_hash
    AND u.event_id = k.event_id AND u.bucket >= $4
