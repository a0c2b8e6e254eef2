-- event_read
-- Of many events at once, unlike SQLite's.
SELECT e.id, e.endpoint_id, e.received_at, e.idempotency_key, e.headers, e.body_sha256,
    coalesce(e.body, (SELECT b.body FROM event_bodies b WHERE b.tenant_id = e.tenant_id AND b.event_id = e.id))
FROM unnest($1::uuid[], $2::uuid[]) AS i (tenant_id, id)
JOIN events e ON e.tenant_id = i.tenant_id AND e.id = i.id
