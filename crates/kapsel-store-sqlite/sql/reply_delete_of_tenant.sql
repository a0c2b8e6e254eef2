-- reply_delete_of_tenant
DELETE FROM api_replies WHERE tenant_id = ?1
