-- queue_finish_if_leased
-- A lease holder knows the whole key: under a lease due_at is its end.
DELETE FROM queue
WHERE endpoint_id = ?1 AND due_at = ?2 AND delivery_id = ?3 AND lease_token = ?4
