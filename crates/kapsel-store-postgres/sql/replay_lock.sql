-- replay_lock
-- As replay_get, and locks the job: of two steps at once, the second waits and finds the first. SQLite has one writer.
SELECT id, tenant_id, endpoint_id, statuses, since, until, after_event_id, end_event_id, rate_per_second, state,
    matched_count, is_matched_capped, replayed_count, skipped_count, next_step_at, created_at, updated_at,
    completed_at, version
FROM replays
WHERE tenant_id = $1 AND id = $2
FOR UPDATE
