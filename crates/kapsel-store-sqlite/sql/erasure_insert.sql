-- erasure_insert
INSERT INTO erasures
    (tenant_id, id, event_id, end_event_id, after_event_id, is_second_look, requested_by, state, erased_count,
    next_step_at, created_at, updated_at, completed_at, version)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (id) DO NOTHING
