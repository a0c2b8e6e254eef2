-- attempts_erase
-- Of many events at once, unlike SQLite's. What happened stays: number, time, duration, the kind of failure, the status.
UPDATE delivery_attempts
SET url = '', leaf_secret = NULL,
    failure_detail = CASE WHEN failure_detail IS NULL THEN NULL ELSE '' END,
    response_headers = CASE WHEN response_headers IS NULL THEN NULL ELSE ''::bytea END,
    response_body = CASE WHEN response_body IS NULL THEN NULL ELSE ''::bytea END
WHERE tenant_id = $1 AND event_id = ANY ($2) AND (leaf_secret IS NOT NULL OR url <> '')
RETURNING event_id
