-- lane_due
SELECT tenant_id, event_id, delivery_id, attempts_total, attempts_made, size_bytes
FROM queue INDEXED BY queue_lanes
WHERE endpoint_id = ?1 AND due_at <= ?2 AND is_leased = 0
ORDER BY due_at, delivery_id
LIMIT ?3
