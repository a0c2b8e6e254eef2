-- queue_insert
INSERT INTO queue
    (endpoint_id, due_at, delivery_id, event_id, tenant_id, lease_owner, lease_token, attempts_total, attempts_made,
     size_bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)
