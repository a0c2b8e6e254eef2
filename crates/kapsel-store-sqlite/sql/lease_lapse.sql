-- lease_lapse
-- Puts deliveries whose lease has ended back into their lanes. The lease stays what it was. Looks at what is leased.
UPDATE queue
SET is_leased = 0
WHERE is_leased = 1 AND due_at <= ?1
