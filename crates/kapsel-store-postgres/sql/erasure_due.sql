-- erasure_due
-- The running ones, due or not: the first that is not tells when to look again.
SELECT id, tenant_id, event_id, end_event_id, after_event_id, is_second_look, requested_by, state, erased_count,
    next_step_at, created_at, updated_at, completed_at, version
FROM erasures
WHERE state = 'running'
ORDER BY next_step_at, id
LIMIT $1
