-- event_read
SELECT e.endpoint_id, e.received_at, e.idempotency_key, e.headers, e.body_sha256,
    coalesce(e.body, (SELECT b.body FROM event_bodies b WHERE b.tenant_id = $1 AND b.event_id = e.id))
FROM events e
WHERE e.tenant_id = $1 AND e.id = $2 AND e.erased_at IS NULL
