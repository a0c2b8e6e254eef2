-- attempts_of_event
SELECT delivery_id, number, id, endpoint_id, url, started_at, duration_us, failure_kind,
    failure_detail, response_status, response_headers, response_body, response_body_truncated
FROM delivery_attempts
WHERE tenant_id = $1 AND event_id = $2
ORDER BY delivery_id, number, id
