-- entry_of_hash
-- One look into the index for each 65,536 leaves, the newest first.
SELECT e.attempt_id
FROM generate_series(
    (SELECT max(l.size) >> 16 FROM logs l WHERE l.id >= '00000000-0000-0000-0000-000000000000'), 0, -1
) b (bucket)
CROSS JOIN LATERAL (
    SELECT n.attempt_id
    FROM log_entries n
    WHERE n.leaf_index >> 16 = b.bucket AND n.hash_prefix = $1
    OFFSET 0
) e
