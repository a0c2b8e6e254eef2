-- entry_of_hash
-- One look into the index for each 65,536 leaves, the newest first.
WITH RECURSIVE buckets (bucket) AS (
    SELECT max(size) >> 16 FROM logs
    UNION ALL
    SELECT bucket - 1 FROM buckets WHERE bucket > 0
)
SELECT e.attempt_id
FROM buckets b
CROSS JOIN log_entries e
WHERE e.leaf_index >> 16 = b.bucket AND e.hash_prefix = ?1
