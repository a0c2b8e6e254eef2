-- queue_count
-- How much is queued, counted up to $1. By an index, because the table may have long stretches with nothing in them.
SELECT count(*)
FROM (
    SELECT 1
    FROM queue
    WHERE tenant_id >= '00000000-0000-0000-0000-000000000000'
    ORDER BY tenant_id, event_id, delivery_id
    LIMIT $1
) q
