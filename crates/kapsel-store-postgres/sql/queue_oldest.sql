-- queue_oldest
-- The oldest queued event of the first $1 tenants who have any, one index descent each.
WITH RECURSIVE oldest AS (
    SELECT f.tenant_id, f.event_id, 1 AS place
    FROM (
        SELECT q.tenant_id, q.event_id
        FROM queue q
        WHERE q.tenant_id >= '00000000-0000-0000-0000-000000000000'
        ORDER BY q.tenant_id, q.event_id
        LIMIT 1
    ) f
    UNION ALL
    SELECT n.tenant_id, n.event_id, o.place + 1
    FROM oldest o
    CROSS JOIN LATERAL (
        SELECT q.tenant_id, q.event_id
        FROM queue q
        WHERE q.tenant_id > o.tenant_id
        ORDER BY q.tenant_id, q.event_id
        LIMIT 1
    ) n
    WHERE o.place < $1
)
SELECT event_id
FROM oldest
ORDER BY event_id
LIMIT 1
