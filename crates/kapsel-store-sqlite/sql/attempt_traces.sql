-- attempt_traces
SELECT a.tenant_id, a.event_id, a.delivery_id, a.number, a.id,
    EXISTS (SELECT 1 FROM log_leaves l WHERE l.attempt_id = a.id),
    EXISTS (
        SELECT 1
        FROM log_leaves l
        CROSS JOIN log_pending p
        WHERE l.attempt_id = a.id AND p.log_id = l.log_id AND p.attempt_id = l.attempt_id
    ),
    EXISTS (SELECT 1 FROM log_entries e WHERE e.attempt_id = a.id)
FROM delivery_attempts a
WHERE (a.tenant_id, a.event_id, a.delivery_id, a.number, a.id) > (?1, ?2, ?3, ?4, ?5)
ORDER BY a.tenant_id, a.event_id, a.delivery_id, a.number, a.id
LIMIT ?6
