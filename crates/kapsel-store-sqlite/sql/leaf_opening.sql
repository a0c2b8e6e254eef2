-- leaf_opening
SELECT a.leaf_secret, a.url, a.response_status, a.response_body,
    (SELECT e.body_sha256 FROM events e WHERE e.tenant_id = ?1 AND e.id = ?2)
FROM delivery_attempts a
WHERE a.tenant_id = ?1 AND a.event_id = ?2 AND a.id = ?3
