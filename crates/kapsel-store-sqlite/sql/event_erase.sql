-- event_erase
-- Once: what is erased already keeps the time at which it was.
UPDATE events
SET content_type = NULL, idempotency_key = NULL, body_sha256 = zeroblob(32), headers = x'', body = x'', erased_at = ?3
WHERE tenant_id = ?1 AND id = ?2 AND erased_at IS NULL
