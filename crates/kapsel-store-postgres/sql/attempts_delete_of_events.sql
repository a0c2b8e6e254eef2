-- attempts_delete_of_events
-- attempts_delete_of_event for many events at once.
DELETE FROM delivery_attempts WHERE tenant_id = $1 AND event_id = ANY ($2)
