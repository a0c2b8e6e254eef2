-- endpoint_change_skip
-- After $1 numbers were used at once. Only who has taken a number before, and so holds the lock, may do it.
UPDATE endpoint_change_counter SET seq = seq + $1 WHERE id = 1
