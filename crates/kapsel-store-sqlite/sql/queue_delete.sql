-- queue_delete
DELETE FROM queue
WHERE tenant_id = ?1 AND endpoint_id = ?2 AND due_at = ?3 AND delivery_id = ?4
