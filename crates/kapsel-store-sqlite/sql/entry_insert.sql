-- entry_insert
INSERT INTO log_entries (log_id, leaf_index, attempt_id, hash_prefix)
VALUES (?1, ?2, ?3, ?4)
