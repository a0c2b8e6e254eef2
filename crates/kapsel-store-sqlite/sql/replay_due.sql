-- replay_due
-- The running ones, due or not: the first that is not tells when to look again.
SELECT id, tenant_id, endpoint_id, statuses, since, until, after_event_id, end_event_id, rate_per_second, state,
    matched_count, is_matched_capped, replayed_count, skipped_count, next_step_at, created_at, updated_at,
    completed_at, version
FROM replays INDEXED BY replays_running
WHERE state = 'running'
ORDER BY next_step_at, id
LIMIT ?1
