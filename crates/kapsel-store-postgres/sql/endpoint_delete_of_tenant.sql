-- endpoint_delete_of_tenant
-- The rows stay, their secrets do not. Each gets a number of its own, behind $3.
WITH numbered AS MATERIALIZED (
    SELECT e.id, $3::bigint + row_number() OVER (ORDER BY e.id) AS seq
    FROM endpoints e
    WHERE e.tenant_id = $1 AND e.deleted_at IS NULL
)
UPDATE endpoints e
SET deleted_at = $2, updated_at = $2, secrets = '', changed_seq = n.seq
FROM numbered n
WHERE e.tenant_id = $1 AND e.id = ANY (ARRAY[n.id])
