-- spool_totals_read
SELECT changes, events, bytes FROM spool_totals WHERE id = 1
