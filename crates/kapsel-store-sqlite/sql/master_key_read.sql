-- master_key_read
SELECT key_id FROM sealing WHERE id = 1
