-- events_unsorted_count
SELECT count(*), coalesce(sum(length(entries)), 0) FROM events_unsorted
