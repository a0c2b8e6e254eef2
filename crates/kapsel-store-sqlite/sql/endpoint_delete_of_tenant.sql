-- endpoint_delete_of_tenant
-- The rows stay, their secrets do not. Each gets a number of its own, behind all others.
UPDATE endpoints
SET deleted_at = ?2, updated_at = ?2, secrets = x'', changed_seq = numbered.seq
FROM (
    SELECT id, (SELECT max(changed_seq) FROM endpoints) + row_number() OVER (ORDER BY id) AS seq
    FROM endpoints
    WHERE tenant_id = ?1 AND deleted_at IS NULL
) AS numbered
WHERE endpoints.id = numbered.id AND endpoints.tenant_id = ?1
