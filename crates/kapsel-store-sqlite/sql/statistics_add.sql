-- statistics_add
INSERT INTO endpoint_statistics AS s (endpoint_id, hour, tenant_id, accepted, duplicates, refused, delivered, failed)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (endpoint_id, hour) DO UPDATE
SET accepted = s.accepted + excluded.accepted, duplicates = s.duplicates + excluded.duplicates,
    refused = s.refused + excluded.refused, delivered = s.delivered + excluded.delivered,
    failed = s.failed + excluded.failed
