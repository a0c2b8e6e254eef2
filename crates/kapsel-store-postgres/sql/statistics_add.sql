-- statistics_add
-- Many endpoints at once, unlike SQLite's, in the order of their ids: so instances wait for each other and never in a ring.
INSERT INTO endpoint_statistics AS s (endpoint_id, hour, tenant_id, accepted, duplicates, refused, delivered, failed)
SELECT c.endpoint_id, $1, c.tenant_id, c.accepted, c.duplicates, c.refused, c.delivered, c.failed
FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
    AS c (endpoint_id, tenant_id, accepted, duplicates, refused, delivered, failed)
ORDER BY c.endpoint_id
ON CONFLICT (endpoint_id, hour) DO UPDATE
SET accepted = s.accepted + excluded.accepted, duplicates = s.duplicates + excluded.duplicates,
    refused = s.refused + excluded.refused, delivered = s.delivered + excluded.delivered,
    failed = s.failed + excluded.failed
