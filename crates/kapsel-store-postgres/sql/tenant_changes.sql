-- tenant_changes
SELECT id, config, status, created_at, updated_at, version, changed_seq
FROM tenants
WHERE changed_seq > $1
ORDER BY changed_seq
LIMIT $2
