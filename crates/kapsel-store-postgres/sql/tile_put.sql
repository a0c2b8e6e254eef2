-- tile_put
-- Many at once.
INSERT INTO log_tiles (log_id, level, tile_index, hashes)
SELECT $1, i.level, i.tile_index, i.hashes
FROM unnest($2::smallint[], $3::bigint[], $4::bytea[]) AS i (level, tile_index, hashes)
ON CONFLICT (log_id, level, tile_index) DO UPDATE SET hashes = excluded.hashes
