-- tenant_insert
INSERT INTO tenants (id, config, status, created_at, updated_at, version, changed_seq)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT coalesce(max(changed_seq), 0) + 1 FROM tenants))
ON CONFLICT (id) DO NOTHING
