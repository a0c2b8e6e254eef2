-- events_unsorted_delete
-- The newest row stays, so that no number is ever used twice: who removes up to a number that was seen removes nothing newer.
DELETE FROM events_unsorted WHERE number <= ?1 AND number < (SELECT max(number) FROM events_unsorted)
