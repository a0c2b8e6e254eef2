-- lease_next_end
-- When the first lease ends. Looks at what is leased.
SELECT min(due_at)
FROM queue
WHERE is_leased = 1
