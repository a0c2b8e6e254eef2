-- event_exists
-- Of many events at once, unlike SQLite's.
SELECT e.id
FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, id)
JOIN events e ON e.tenant_id = i.tenant_id AND e.id = i.id
