-- secrets_replace_if_same
UPDATE endpoints SET secrets = $4 WHERE tenant_id = $1 AND id = $2 AND secrets = $3 AND deleted_at IS NULL
