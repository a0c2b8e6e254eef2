-- tenant_insert
INSERT INTO tenants (id, config, status, created_at, updated_at, version, changed_seq)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO NOTHING
