-- queue_oldest_next
-- The oldest queued event of the next tenant behind ?1 who has any: one seek in what waits and one in what is leased.
SELECT tenant_id, event_id
FROM queue
WHERE is_leased = 0 AND tenant_id > ?1
UNION ALL
SELECT tenant_id, event_id
FROM queue
WHERE is_leased = 1 AND tenant_id > ?1
ORDER BY tenant_id, event_id
LIMIT 1
