-- spool_remove
DELETE FROM spool WHERE seq = ?1 RETURNING size_bytes
