-- queue_entries
-- Entries of the queue, to be counted up to ?2.
SELECT 1
FROM queue INDEXED BY queue_by_event
WHERE tenant_id >= ?1
LIMIT ?2
