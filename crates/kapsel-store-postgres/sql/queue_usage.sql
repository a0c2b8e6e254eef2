-- queue_usage
SELECT count(*), coalesce(sum(u.size_bytes), 0)::bigint
FROM (SELECT q.size_bytes FROM queue q WHERE q.tenant_id = $1 LIMIT $2) u
