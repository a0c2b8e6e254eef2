-- endpoints_enabled
-- Which of many endpoints are enabled; nobody disables or deletes those until the commit. SQLite asks one by one, by
-- endpoint_version and endpoint_is_enabled.
SELECT id
FROM endpoints
WHERE tenant_id = $1 AND id = ANY ($2) AND status = 'enabled' AND deleted_at IS NULL
ORDER BY id
FOR SHARE
