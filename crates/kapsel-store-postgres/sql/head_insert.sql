-- head_insert
INSERT INTO log_heads (log_id, size, root, signed_at, checkpoint)
VALUES ($1, $2, $3, $4, $5)
