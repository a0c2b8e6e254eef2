-- queue_release_if_leased
-- Many deliveries at once, unlike SQLite's.
UPDATE queue q
SET due_at = $5, lease_owner = NULL, lease_token = NULL, is_leased = false
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) AS i (tenant_id, event_id, delivery_id, lease_token)
WHERE q.tenant_id = ANY (ARRAY[i.tenant_id])
        AND (q.event_id, q.delivery_id) >= (i.event_id, i.delivery_id)
        AND (q.event_id, q.delivery_id) <= (i.event_id, i.delivery_id)
    AND q.lease_token = i.lease_token
