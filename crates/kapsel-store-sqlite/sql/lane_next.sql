-- lane_next
-- The head of the first lane behind ?1, with what its circuit says: one seek, however long the lanes are. Leases that have
-- ended are put back into their lanes before (lease_lapse); one that ended later than ?2 is passed over.
SELECT q.endpoint_id, q.due_at, e.tenant_id, e.status IS 'enabled' AND e.deleted_at IS NULL AND t.status IS NOT 'suspended',
    e.id IS NULL OR e.deleted_at IS NOT NULL, c.blocked_until, c.prober, c.version
FROM queue q INDEXED BY queue_lanes LEFT JOIN endpoints e ON e.id = q.endpoint_id
    LEFT JOIN circuits c ON c.endpoint_id = q.endpoint_id LEFT JOIN tenants t ON t.id = e.tenant_id
WHERE q.endpoint_id > ?1 AND q.is_leased = 0 AND (q.lease_token IS NULL OR q.due_at <= ?2)
ORDER BY q.endpoint_id, q.due_at
LIMIT 1
