-- circuit_read
SELECT endpoint_id, tenant_id, state, blocked_until, prober, opened_at, opened_times, failing_since, changed_at, version
FROM circuits
WHERE endpoint_id = ANY ($1)
