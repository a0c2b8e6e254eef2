-- attempts_of_event
SELECT a.delivery_id, a.number, a.id, a.endpoint_id, a.url, a.started_at, a.duration_us, a.failure_kind,
    a.failure_detail, a.response_status, a.response_headers, a.response_body, a.response_body_truncated, l.data
FROM delivery_attempts a
LEFT JOIN LATERAL (
    SELECT l.data FROM log_leaves l WHERE l.tenant_id = $1 AND l.attempt_id = a.id OFFSET 0
) l ON true
WHERE a.tenant_id = $1 AND a.event_id = $2
ORDER BY a.delivery_id, a.number, a.id
