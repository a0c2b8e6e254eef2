-- circuit_reset
INSERT INTO circuits AS c (tenant_id, endpoint_id, state, opened_times, changed_at, version)
SELECT e.tenant_id, e.id, 'closed', 0, $3, 1
FROM endpoints e
WHERE e.tenant_id = $1 AND e.id = $2 AND e.deleted_at IS NULL
ON CONFLICT (endpoint_id) DO UPDATE
SET state = 'closed', blocked_until = NULL, prober = NULL, opened_at = NULL, opened_times = 0, failing_since = NULL,
    changed_at = excluded.changed_at, version = c.version + 1
WHERE c.tenant_id = $1
