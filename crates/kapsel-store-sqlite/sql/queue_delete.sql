-- queue_delete
DELETE FROM queue
WHERE is_leased IN (0, 1) AND tenant_id = ?1 AND event_id = ?2 AND delivery_id = ?3
