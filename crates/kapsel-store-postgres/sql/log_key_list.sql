-- log_key_list
SELECT verifier_key, created_at, signs_until
FROM log_keys
WHERE log_id = $1
