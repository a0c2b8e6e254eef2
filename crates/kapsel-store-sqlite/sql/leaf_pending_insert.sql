-- leaf_pending_insert
INSERT INTO log_pending (log_id, attempt_id, tenant_id, hash)
VALUES (?1, ?2, ?3, ?4)
