-- queue_put_if_idle
-- Queues a delivery anew unless somebody is working on it; no row then. One statement for SQLite's queue_delete and
-- queue_insert, because another instance may claim or requeue at the same moment.
INSERT INTO queue AS q
    (tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, is_leased, attempts_total,
    attempts_made, size_bytes)
VALUES ($1, $2, $3, $4, $5, NULL, NULL, false, $6, 0, $7)
ON CONFLICT (tenant_id, event_id, delivery_id) DO UPDATE
SET due_at = excluded.due_at, lease_owner = NULL, lease_token = NULL, is_leased = false, attempts_made = 0
WHERE q.tenant_id = $1 AND (q.lease_token IS NULL OR q.due_at <= $5)
RETURNING q.delivery_id
