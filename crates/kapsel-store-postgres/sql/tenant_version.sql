-- tenant_version
-- Until the commit nobody else changes the tenant. SQLite, which has one writer, reads it by tenant_get.
SELECT version FROM tenants WHERE id = $1 AND status <> 'deleted' FOR NO KEY UPDATE
