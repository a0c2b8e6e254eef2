-- endpoint_insert
INSERT INTO endpoints
    (id, tenant_id, config, secrets, status, disabled_reason, created_at, updated_at, version, changed_seq)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, (SELECT coalesce(max(changed_seq), 0) + 1 FROM endpoints))
ON CONFLICT (id) DO NOTHING
