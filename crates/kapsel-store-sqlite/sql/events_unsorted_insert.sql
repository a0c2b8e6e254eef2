-- events_unsorted_insert
INSERT INTO events_unsorted (entries) VALUES (?1)
