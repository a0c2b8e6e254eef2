-- lane_next
-- The head of the first lane behind ?1: one seek, however long the lanes are.
SELECT q.endpoint_id, q.due_at, e.tenant_id, e.status IS 'enabled' AND e.deleted_at IS NULL,
    e.id IS NULL OR e.deleted_at IS NOT NULL
FROM queue q LEFT JOIN endpoints e ON e.id = q.endpoint_id
WHERE q.endpoint_id > ?1
ORDER BY q.endpoint_id, q.due_at
LIMIT 1
