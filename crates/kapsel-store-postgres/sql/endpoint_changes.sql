-- endpoint_changes
SELECT id, tenant_id, config, secrets, disabled_reason, created_at, updated_at, version,
    changed_seq, deleted_at IS NOT NULL
FROM endpoints
WHERE changed_seq > $1
ORDER BY changed_seq
LIMIT $2
