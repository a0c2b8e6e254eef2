-- lane_idle
-- What nobody may be working on.
SELECT due_at, delivery_id, event_id, tenant_id
FROM queue
WHERE endpoint_id = ?1 AND (lease_token IS NULL OR due_at <= ?2)
ORDER BY due_at, delivery_id
LIMIT ?3
