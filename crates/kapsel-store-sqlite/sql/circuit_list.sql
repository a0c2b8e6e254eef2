-- circuit_list
SELECT endpoint_id, tenant_id, state, blocked_until, prober, opened_at, opened_times, failing_since, changed_at, version
FROM circuits
WHERE tenant_id = ?1 AND endpoint_id = ?2
