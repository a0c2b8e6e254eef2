-- endpoint_is_enabled
SELECT 1 FROM endpoints WHERE id = ?1 AND status = 'enabled' AND deleted_at IS NULL
