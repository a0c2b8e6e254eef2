-- queue_put_many_if_idle
-- queue_put_if_idle for many deliveries at once. Returns the event of each that was put.
INSERT INTO queue AS q
    (tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, is_leased, attempts_total,
    attempts_made, size_bytes)
SELECT $1, i.event_id, i.delivery_id, i.endpoint_id, $7, NULL, NULL, false, i.attempts_total, 0, i.size_bytes
FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::integer[], $6::bigint[])
    AS i (event_id, delivery_id, endpoint_id, attempts_total, size_bytes)
ORDER BY i.event_id, i.delivery_id
ON CONFLICT (tenant_id, event_id, delivery_id) DO UPDATE
SET due_at = excluded.due_at, lease_owner = NULL, lease_token = NULL, is_leased = false, attempts_made = 0
WHERE q.tenant_id = $1 AND (q.lease_token IS NULL OR q.due_at <= $7)
RETURNING q.event_id
