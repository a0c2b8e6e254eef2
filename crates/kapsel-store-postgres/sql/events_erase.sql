-- events_erase
-- event_erase for many events at once.
UPDATE events
SET content_type = NULL, idempotency_key = NULL, body_sha256 = decode(repeat('00', 32), 'hex'), headers = '', body = '',
    erased_at = $3
WHERE tenant_id = $1 AND id = ANY ($2) AND erased_at IS NULL
RETURNING id
