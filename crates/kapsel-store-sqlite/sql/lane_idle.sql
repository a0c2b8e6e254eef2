-- lane_idle
-- What nobody may be working on. Leases that have ended are put back into their lanes before (lease_lapse).
SELECT tenant_id, event_id, delivery_id
FROM queue INDEXED BY queue_lanes
WHERE endpoint_id = ?1 AND is_leased = 0 AND (lease_token IS NULL OR due_at <= ?2)
ORDER BY due_at, delivery_id
LIMIT ?3
