-- erasure_covers
SELECT 1
FROM erasures INDEXED BY erasures_of_tenants
WHERE tenant_id = ?1 AND end_event_id > ?2 AND event_id IS NULL
LIMIT 1
