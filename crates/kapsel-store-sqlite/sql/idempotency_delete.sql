-- idempotency_delete
DELETE FROM idempotency_keys WHERE bucket = ?1 AND endpoint_id = ?2 AND key_hash = ?3
