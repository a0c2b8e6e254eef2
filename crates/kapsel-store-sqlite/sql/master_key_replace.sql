-- master_key_replace
UPDATE sealing SET key_id = ?1 WHERE id = 1
