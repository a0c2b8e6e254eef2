-- circuit_delete_of_tenant
DELETE FROM circuits
WHERE tenant_id = ?1 AND endpoint_id IN (SELECT id FROM endpoints WHERE tenant_id = ?1)
