-- spool_key_find
SELECT id, body_sha256, key_expires_at
FROM spool
WHERE endpoint_id = ?1 AND key_hash = ?2
ORDER BY seq DESC
LIMIT 1
