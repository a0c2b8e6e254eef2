-- tenant_list
-- From $1 on, and without $2: the default tenant has the smallest id there is, so nothing comes before it.
SELECT id, config, status, created_at, updated_at, version, changed_seq
FROM tenants
WHERE id >= $1 AND id IS DISTINCT FROM $2 AND status <> 'deleted'
ORDER BY id
LIMIT $3
