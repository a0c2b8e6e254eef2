-- log_grow
UPDATE logs
SET size = $4, root = $5
WHERE id = $1 AND epoch = $2 AND size = $3
