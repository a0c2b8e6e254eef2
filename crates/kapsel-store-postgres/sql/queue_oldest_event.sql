-- queue_oldest_event
-- The oldest event with undelivered work; its partition must stay. Looks at every row: for the dropping of partitions.
SELECT event_id FROM queue ORDER BY event_id LIMIT 1
