-- outcome_delete_of_events
-- outcome_delete for many events at once.
DELETE FROM outcomes WHERE tenant_id = $1 AND event_id = ANY ($2)
