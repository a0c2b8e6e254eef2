-- attempt_insert
INSERT INTO delivery_attempts
    (tenant_id, event_id, delivery_id, number, id, endpoint_id, url, started_at, duration_us, failure_kind,
    failure_detail, response_status, response_headers, response_body, response_body_truncated, leaf_secret)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
