-- log_create
-- Nothing if there is one already.
INSERT INTO logs (id, name, origin, size, root, epoch, created_at)
VALUES ($1, $2, $3, 0, $4, 0, $5)
ON CONFLICT DO NOTHING
