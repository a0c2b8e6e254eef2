-- log_key_put
INSERT INTO log_keys (log_id, verifier_key, created_at, signs_until)
VALUES ($1, $2, $3, $4)
ON CONFLICT (log_id, verifier_key) DO UPDATE SET signs_until = excluded.signs_until
