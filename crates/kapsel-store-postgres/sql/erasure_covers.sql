-- erasure_covers
-- Of many events at once, unlike SQLite's.
SELECT i.event_id
FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, event_id)
CROSS JOIN LATERAL (
    SELECT 1 FROM erasures e WHERE e.tenant_id = i.tenant_id AND e.end_event_id > i.event_id AND e.event_id IS NULL LIMIT 1
) e
