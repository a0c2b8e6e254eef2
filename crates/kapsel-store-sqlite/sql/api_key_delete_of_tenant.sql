-- api_key_delete_of_tenant
DELETE FROM api_keys WHERE tenant_id = ?1
