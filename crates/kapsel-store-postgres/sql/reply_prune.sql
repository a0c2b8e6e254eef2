-- reply_prune
WITH old AS MATERIALIZED (
    SELECT o.key_hash
    FROM api_replies o
    WHERE o.tenant_id = $1 AND o.expires_at <= $2
    ORDER BY o.expires_at
    LIMIT $3
)
DELETE FROM api_replies r
USING old
WHERE r.tenant_id = $1 AND r.key_hash = ANY (ARRAY[old.key_hash])
