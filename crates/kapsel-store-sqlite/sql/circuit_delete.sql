-- circuit_delete
DELETE FROM circuits WHERE tenant_id = ?1 AND endpoint_id = ?2
