-- statistics_prune
-- What somebody else is removing is passed over.
WITH old AS MATERIALIZED (
    SELECT o.endpoint_id, o.hour
    FROM endpoint_statistics o
    WHERE o.hour < $1
    ORDER BY o.hour
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM endpoint_statistics s
USING old
WHERE (s.endpoint_id, s.hour) >= (old.endpoint_id, old.hour) AND (s.endpoint_id, s.hour) <= (old.endpoint_id, old.hour)
