-- leaf_insert
INSERT INTO log_leaves (attempt_id, tenant_id, log_id, data)
VALUES (?1, ?2, ?3, ?4)
