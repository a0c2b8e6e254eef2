-- event_bodies_delete
-- event_body_delete for many events at once.
DELETE FROM event_bodies WHERE tenant_id = $1 AND event_id = ANY ($2)
