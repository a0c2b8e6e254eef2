-- erasure_find
-- For the operator, who asks for no tenant.
SELECT id, tenant_id, event_id, end_event_id, after_event_id, is_second_look, requested_by, state, erased_count,
    next_step_at, created_at, updated_at, completed_at, version
FROM erasures
WHERE id = ?1
