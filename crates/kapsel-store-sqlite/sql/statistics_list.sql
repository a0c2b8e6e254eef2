-- statistics_list
SELECT hour, accepted, duplicates, refused, delivered, failed
FROM endpoint_statistics
WHERE tenant_id = ?1 AND endpoint_id = ?2 AND hour >= ?3 AND hour < ?4
ORDER BY hour
