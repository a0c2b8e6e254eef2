-- lane_is_open
-- Whether a claim that knows the circuit in version ?2 may take anything.
SELECT 1
FROM endpoints e
WHERE e.id = ?1 AND e.status = 'enabled' AND e.deleted_at IS NULL
    AND (SELECT t.status FROM tenants t WHERE t.id = e.tenant_id) IS NOT 'suspended'
    AND coalesce((SELECT c.version FROM circuits c WHERE c.endpoint_id = e.id), 0) = ?2
