-- endpoint_insert
INSERT INTO endpoints
    (tenant_id, id, config, secrets, status, disabled_reason, created_at, updated_at, version, changed_seq)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO NOTHING
