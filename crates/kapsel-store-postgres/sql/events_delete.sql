-- events_delete
-- event_delete for many events at once.
DELETE FROM events WHERE tenant_id = $1 AND id = ANY ($2)
