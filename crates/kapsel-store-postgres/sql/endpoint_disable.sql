-- endpoint_disable
UPDATE endpoints
SET status = 'disabled', disabled_reason = $2, updated_at = $3, version = version + 1, changed_seq = $4
WHERE id = $1 AND status = 'enabled' AND deleted_at IS NULL
