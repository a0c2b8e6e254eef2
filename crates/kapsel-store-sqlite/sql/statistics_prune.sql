-- statistics_prune
DELETE FROM endpoint_statistics
WHERE (endpoint_id, hour) IN (
    SELECT endpoint_id, hour FROM endpoint_statistics WHERE hour < ?1 ORDER BY hour LIMIT ?2
)
