-- api_key_delete_of_tenant
DELETE FROM api_keys k WHERE k.tenant_id = $1
