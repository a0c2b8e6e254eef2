-- attempt_traces
SELECT a.tenant_id, a.event_id, a.delivery_id, a.number, a.id, l.log_id IS NOT NULL, p.log_id IS NOT NULL,
    e.log_id IS NOT NULL
FROM delivery_attempts a
LEFT JOIN LATERAL (SELECT l.log_id FROM log_leaves l WHERE l.attempt_id = a.id OFFSET 0) l ON true
LEFT JOIN LATERAL (
    SELECT p.log_id FROM log_pending p WHERE p.log_id = l.log_id AND p.attempt_id = a.id OFFSET 0
) p ON true
LEFT JOIN LATERAL (SELECT e.log_id FROM log_entries e WHERE e.attempt_id = a.id OFFSET 0) e ON true
WHERE (a.tenant_id, a.event_id, a.delivery_id, a.number, a.id) > ($1, $2, $3, $4, $5)
ORDER BY a.tenant_id, a.event_id, a.delivery_id, a.number, a.id
LIMIT $6
