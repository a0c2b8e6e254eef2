-- circuit_put_if_version
-- One statement for a whole batch, where SQLite runs its own once for each. Without a stored circuit, the version before
-- is 0. Nothing is written for an endpoint that is gone. Whoever waits for another's write compares with what that one
-- left: the condition stands in the update, and a first version that is not the first conflicts.
WITH input AS MATERIALIZED (
    SELECT i.*
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::uuid[], $6::bigint[], $7::integer[],
        $8::bigint[], $9::bigint[], $10::bigint[])
        AS i (endpoint_id, tenant_id, state, blocked_until, prober, opened_at, opened_times, failing_since, changed_at,
        version)
    CROSS JOIN LATERAL (
        SELECT 1
        FROM endpoints p
        WHERE p.id = i.endpoint_id AND p.tenant_id = i.tenant_id AND p.deleted_at IS NULL
        OFFSET 0
    ) e
),
inserted AS (
    INSERT INTO circuits
        (endpoint_id, tenant_id, state, blocked_until, prober, opened_at, opened_times, failing_since, changed_at,
        version)
    SELECT endpoint_id, tenant_id, state, blocked_until, prober, opened_at, opened_times, failing_since, changed_at,
        version
    FROM input
    WHERE version = 1
    ON CONFLICT (endpoint_id) DO NOTHING
    RETURNING endpoint_id
),
updated AS (
    UPDATE circuits c
    SET state = i.state, blocked_until = i.blocked_until, prober = i.prober, opened_at = i.opened_at,
        opened_times = i.opened_times, failing_since = i.failing_since, changed_at = i.changed_at, version = i.version
    FROM input i
    WHERE i.version > 1 AND c.endpoint_id >= i.endpoint_id AND c.endpoint_id <= i.endpoint_id
        AND c.version = i.version - 1
    RETURNING c.endpoint_id
)
SELECT endpoint_id FROM inserted
UNION ALL
SELECT endpoint_id FROM updated
