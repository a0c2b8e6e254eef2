-- queue_finish_if_leased
DELETE FROM queue
WHERE is_leased = ?5 AND tenant_id = ?1 AND event_id = ?2 AND delivery_id = ?3 AND lease_token = ?4
