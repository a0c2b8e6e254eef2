-- circuit_put_if_version
-- Without a stored circuit, the version before is 0. Nothing is written for an endpoint that is gone.
INSERT INTO circuits
    (endpoint_id, tenant_id, state, blocked_until, prober, opened_at, opened_times, failing_since, changed_at, version)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
WHERE coalesce((SELECT version FROM circuits WHERE endpoint_id = ?1), 0) = ?10 - 1
    AND EXISTS (SELECT 1 FROM endpoints WHERE id = ?1 AND tenant_id = ?2 AND deleted_at IS NULL)
ON CONFLICT (endpoint_id) DO UPDATE
SET state = excluded.state, blocked_until = excluded.blocked_until, prober = excluded.prober,
    opened_at = excluded.opened_at, opened_times = excluded.opened_times, failing_since = excluded.failing_since,
    changed_at = excluded.changed_at, version = excluded.version
