-- tile_read
SELECT hashes
FROM log_tiles
WHERE log_id = ?1 AND level = ?2 AND tile_index = ?3
