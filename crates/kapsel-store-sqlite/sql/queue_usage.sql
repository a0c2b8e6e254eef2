-- queue_usage
SELECT count(*), coalesce(sum(size_bytes), 0)
FROM (SELECT size_bytes FROM queue WHERE is_leased IN (0, 1) AND tenant_id = ?1 LIMIT ?2)
