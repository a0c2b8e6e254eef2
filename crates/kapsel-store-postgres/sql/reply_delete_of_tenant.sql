-- reply_delete_of_tenant
DELETE FROM api_replies r WHERE r.tenant_id = $1
