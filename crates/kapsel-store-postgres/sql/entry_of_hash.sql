-- entry_of_hash
SELECT attempt_id
FROM log_entries
WHERE hash_prefix = $1
