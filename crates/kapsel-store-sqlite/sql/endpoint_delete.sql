-- endpoint_delete
-- The row stays, its secrets do not.
UPDATE endpoints
SET deleted_at = ?3, updated_at = ?3, secrets = x'', changed_seq = (SELECT max(changed_seq) + 1 FROM endpoints)
WHERE tenant_id = ?1 AND id = ?2 AND deleted_at IS NULL
