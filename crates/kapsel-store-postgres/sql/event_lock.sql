-- event_lock
-- Those of many events that nobody else has locked, locked until the commit: who queues one anew holds a lock that keeps it
-- from being locked here. What is locked is passed over, for to wait could mean to wait for each other. SQLite has one
-- writer.
SELECT id
FROM events
WHERE tenant_id = $1 AND id = ANY ($2)
FOR UPDATE SKIP LOCKED
