-- tile_put
INSERT INTO log_tiles (log_id, level, tile_index, hashes)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (log_id, level, tile_index) DO UPDATE SET hashes = excluded.hashes
