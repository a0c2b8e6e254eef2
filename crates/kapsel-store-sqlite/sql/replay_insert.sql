-- replay_insert
INSERT INTO replays
    (tenant_id, id, endpoint_id, statuses, since, until, after_event_id, end_event_id, rate_per_second, state,
    matched_count, is_matched_capped, replayed_count, skipped_count, next_step_at, created_at, updated_at,
    completed_at, version)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
ON CONFLICT (id) DO NOTHING
