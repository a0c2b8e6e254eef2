-- event_exists
-- Of many events at once, unlike SQLite's.
SELECT e.id
FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, id)
CROSS JOIN LATERAL (SELECT v.id FROM events v WHERE v.tenant_id = i.tenant_id AND v.id = i.id OFFSET 0) e
