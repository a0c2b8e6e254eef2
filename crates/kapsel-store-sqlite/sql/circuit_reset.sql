-- circuit_reset
INSERT INTO circuits (endpoint_id, tenant_id, state, opened_times, changed_at, version)
SELECT id, tenant_id, 'closed', 0, ?3, 1
FROM endpoints
WHERE tenant_id = ?1 AND id = ?2 AND deleted_at IS NULL
ON CONFLICT (endpoint_id) DO UPDATE
SET state = 'closed', blocked_until = NULL, prober = NULL, opened_at = NULL, opened_times = 0, failing_since = NULL,
    changed_at = excluded.changed_at, version = circuits.version + 1
