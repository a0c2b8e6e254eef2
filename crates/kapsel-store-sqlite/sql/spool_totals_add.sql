-- spool_totals_add
UPDATE spool_totals
SET changes = changes + 1, events = events + ?1, bytes = bytes + ?2
WHERE id = 1
RETURNING changes, events, bytes
