-- queue_lock_of_events
-- Nobody claims or settles deliveries of these events until the commit. SQLite has one writer.
SELECT delivery_id
FROM queue
WHERE tenant_id = $1 AND event_id = ANY ($2)
ORDER BY event_id, delivery_id
FOR UPDATE
