-- endpoint_change_next
-- Locks the counter until the commit: changes become visible in the order of their numbers.
UPDATE endpoint_change_counter SET seq = seq + 1 WHERE id = 1 RETURNING seq
