-- replay_set_state
UPDATE replays
SET state = ?3, updated_at = ?4, version = version + 1
WHERE tenant_id = ?1 AND id = ?2
