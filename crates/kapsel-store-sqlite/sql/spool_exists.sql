-- spool_exists
SELECT 1 FROM spool WHERE id = ?1
