-- circuit_reset
UPDATE circuits
SET state = 'closed', blocked_until = NULL, prober = NULL, opened_at = NULL, opened_times = 0, failing_since = NULL,
    changed_at = ?3, version = version + 1
WHERE tenant_id = ?1 AND endpoint_id = ?2
