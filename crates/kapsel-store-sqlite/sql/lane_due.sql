-- lane_due
SELECT due_at, delivery_id, event_id, tenant_id, attempts_total, attempts_made, size_bytes
FROM queue
WHERE endpoint_id = ?1 AND due_at <= ?2
ORDER BY due_at, delivery_id
LIMIT ?3
