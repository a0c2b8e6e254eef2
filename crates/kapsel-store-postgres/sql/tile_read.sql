-- tile_read
-- Many at once.
SELECT i.level, i.tile_index, t.hashes
FROM unnest($2::smallint[], $3::bigint[]) AS i (level, tile_index)
CROSS JOIN LATERAL (
    SELECT t.hashes
    FROM log_tiles t
    WHERE t.log_id = $1 AND t.level = i.level AND t.tile_index = i.tile_index
    OFFSET 0
) t
