-- attempts_summary_of_event
-- Of many events at once, unlike SQLite's: each statement is a round trip here. Success is 2xx alone, and a whole answer.
SELECT event_id, delivery_id, endpoint_id, count(*),
    min(CASE WHEN failure_kind IS NULL AND response_status BETWEEN 200 AND 299 THEN started_at + duration_us END)
FROM delivery_attempts
WHERE tenant_id = $1 AND event_id = ANY ($2)
GROUP BY event_id, delivery_id, endpoint_id
