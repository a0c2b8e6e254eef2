-- idempotency_give_back
-- An event that won the guard of its key but not the key itself takes the guard back, in the same transaction. The day
-- stands beside each of them, for the reason that leaf_pending_delete gives.
DELETE FROM idempotency_keys u
USING (
    SELECT unnest($1::uuid[]) AS event_id, unnest($2::uuid[]) AS endpoint_id, unnest($3::bytea[]) AS key_hash,
        $4::bigint AS bucket
    OFFSET 0
) k
WHERE u.endpoint_id = ANY (ARRAY[k.endpoint_id]) AND u.key_hash >= k.key_hash AND u.key_hash <= k.key_hash
    AND u.event_id = k.event_id AND u.bucket >= k.bucket
