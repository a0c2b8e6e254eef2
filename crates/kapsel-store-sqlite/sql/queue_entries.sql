-- queue_entries
-- Entries of the queue, to be counted up to ?1.
SELECT 1
FROM queue
WHERE is_leased IN (0, 1)
LIMIT ?1
