-- erasure_advance
UPDATE erasures
SET after_event_id = $3, is_second_look = $4, state = $5, erased_count = $6, next_step_at = $7, updated_at = $8,
    completed_at = $9, version = $10
WHERE tenant_id = $1 AND id = $2
