-- replay_advance
UPDATE replays
SET after_event_id = ?3, replayed_count = replayed_count + ?4, skipped_count = skipped_count + ?5, next_step_at = ?6,
    updated_at = ?7, state = ?8, completed_at = ?9, version = version + 1
WHERE tenant_id = ?1 AND id = ?2
