-- event_insert
INSERT INTO events
    (tenant_id, id, endpoint_id, received_at, size_bytes, content_type, idempotency_key, body_sha256, headers, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (tenant_id, id) DO NOTHING
