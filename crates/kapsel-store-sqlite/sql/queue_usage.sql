-- queue_usage
SELECT count(*), coalesce(sum(size_bytes), 0)
FROM (SELECT size_bytes FROM queue INDEXED BY queue_by_event WHERE tenant_id = ?1 LIMIT ?2)
