-- event_lock_shared
-- Keeps many events from being removed or erased until the commit, and says which ones are there. SQLite has one writer.
SELECT id
FROM events
WHERE tenant_id = $1 AND id = ANY ($2)
FOR SHARE
