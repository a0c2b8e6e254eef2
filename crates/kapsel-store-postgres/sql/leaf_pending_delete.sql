-- leaf_pending_delete
-- Many at once, each as a range of one (docs/adr/0007). The log stands beside each of them: known beforehand, it would be a
-- reason to read all that waits, and compare each with each, once a vacuum has found the table nearly empty.
DELETE FROM log_pending p
USING (SELECT $1::uuid AS log_id, unnest($2::uuid[]) AS attempt_id OFFSET 0) i
WHERE p.log_id = ANY (ARRAY[i.log_id]) AND p.attempt_id >= i.attempt_id AND p.attempt_id <= i.attempt_id
