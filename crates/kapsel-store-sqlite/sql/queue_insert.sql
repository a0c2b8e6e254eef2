-- queue_insert
INSERT INTO queue
    (is_leased, tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, attempts_total,
     attempts_made, size_bytes)
VALUES (?7 IS NOT NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)
