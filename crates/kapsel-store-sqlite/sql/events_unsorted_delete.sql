-- events_unsorted_delete
DELETE FROM events_unsorted WHERE number <= ?1
