-- entry_insert
-- Many at once, behind each other from an index on.
INSERT INTO log_entries (log_id, leaf_index, attempt_id, hash_prefix)
SELECT $1, $2 + i.place - 1, i.attempt_id, i.hash_prefix
FROM unnest($3::uuid[], $4::bigint[]) WITH ORDINALITY AS i (attempt_id, hash_prefix, place)
