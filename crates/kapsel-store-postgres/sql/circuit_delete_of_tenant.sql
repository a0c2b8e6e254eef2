-- circuit_delete_of_tenant
DELETE FROM circuits c
USING (SELECT e.id FROM endpoints e WHERE e.tenant_id = $1 OFFSET 0) AS own
WHERE c.tenant_id = $1 AND c.endpoint_id = ANY (ARRAY[own.id])
