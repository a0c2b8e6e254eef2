-- queue_lock_of_events
-- What is queued of these events, locked until the commit. What somebody else is claiming or settling at this moment is
-- passed over: to wait for it could mean to wait for each other. SQLite has one writer.
SELECT delivery_id
FROM queue
WHERE tenant_id = $1 AND event_id = ANY ($2)
FOR UPDATE SKIP LOCKED
