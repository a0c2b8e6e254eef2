-- events_unsorted_list
SELECT number, entries FROM events_unsorted ORDER BY number
