-- lane_scan
-- The heads of the lanes behind $2, one index descent each however long the lanes are, until $3 due ones are found. One
-- statement for what SQLite does with lane_next in a loop. A lane is due when its head is and its circuit does not block
-- it for $4. Leases that have ended are put back into their lanes before (lease_lapse).
WITH RECURSIVE lanes AS (
    SELECT h.endpoint_id, h.due_at, h.tenant_id, h.is_enabled, h.circuit_version,
        CASE WHEN h.is_enabled AND h.due_at <= $1 THEN 1 ELSE 0 END AS due_found
    FROM (
        SELECT q.endpoint_id,
            greatest(q.due_at, CASE WHEN c.prober IS DISTINCT FROM $4 THEN c.blocked_until END) AS due_at,
            e.tenant_id, coalesce(e.status = 'enabled' AND e.deleted_at IS NULL, false)
                AND t.status IS DISTINCT FROM 'suspended' AS is_enabled,
            coalesce(c.version, 0) AS circuit_version
        FROM (
            SELECT w.endpoint_id, w.due_at
            FROM queue w
            WHERE w.endpoint_id > $2 AND NOT w.is_leased AND (w.lease_token IS NULL OR w.due_at <= $1)
            ORDER BY w.endpoint_id, w.due_at, w.delivery_id
            LIMIT 1
        ) q
        LEFT JOIN LATERAL (
            SELECT p.tenant_id, p.status, p.deleted_at FROM endpoints p WHERE p.id = q.endpoint_id OFFSET 0
        ) e ON true
        LEFT JOIN LATERAL (
            SELECT o.status FROM tenants o WHERE o.id = e.tenant_id OFFSET 0
        ) t ON true
        LEFT JOIN LATERAL (
            SELECT k.prober, k.blocked_until, k.version FROM circuits k WHERE k.endpoint_id = q.endpoint_id OFFSET 0
        ) c ON true
    ) h
    UNION ALL
    SELECT h.endpoint_id, h.due_at, h.tenant_id, h.is_enabled, h.circuit_version,
        l.due_found + CASE WHEN h.is_enabled AND h.due_at <= $1 THEN 1 ELSE 0 END
    FROM lanes l
    CROSS JOIN LATERAL (
        SELECT q.endpoint_id,
            greatest(q.due_at, CASE WHEN c.prober IS DISTINCT FROM $4 THEN c.blocked_until END) AS due_at,
            e.tenant_id, coalesce(e.status = 'enabled' AND e.deleted_at IS NULL, false)
                AND t.status IS DISTINCT FROM 'suspended' AS is_enabled,
            coalesce(c.version, 0) AS circuit_version
        FROM (
            SELECT w.endpoint_id, w.due_at
            FROM queue w
            WHERE w.endpoint_id > l.endpoint_id AND NOT w.is_leased AND (w.lease_token IS NULL OR w.due_at <= $1)
            ORDER BY w.endpoint_id, w.due_at, w.delivery_id
            LIMIT 1
        ) q
        LEFT JOIN LATERAL (
            SELECT p.tenant_id, p.status, p.deleted_at FROM endpoints p WHERE p.id = q.endpoint_id OFFSET 0
        ) e ON true
        LEFT JOIN LATERAL (
            SELECT o.status FROM tenants o WHERE o.id = e.tenant_id OFFSET 0
        ) t ON true
        LEFT JOIN LATERAL (
            SELECT k.prober, k.blocked_until, k.version FROM circuits k WHERE k.endpoint_id = q.endpoint_id OFFSET 0
        ) c ON true
    ) h
    WHERE l.due_found < $3
)
SELECT endpoint_id, due_at, tenant_id, circuit_version
FROM lanes
WHERE is_enabled
