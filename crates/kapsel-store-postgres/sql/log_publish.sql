-- log_publish
UPDATE logs
SET published_size = $3, published_root = $4
WHERE id = $1 AND epoch = $2 AND size >= $3 AND (published_size IS NULL OR published_size < $3)
