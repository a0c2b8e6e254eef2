-- endpoint_lock_enabled
-- Which of many endpoints are enabled. Until the commit nobody disables or deletes those, and nobody else queues anything
-- of theirs anew. SQLite, which has one writer, asks one by one, by endpoint_version and endpoint_is_enabled.
SELECT id
FROM endpoints
WHERE tenant_id = $1 AND id = ANY ($2) AND status = 'enabled' AND deleted_at IS NULL
ORDER BY id
FOR NO KEY UPDATE
