-- circuit_release
UPDATE circuits
SET state = 'open', blocked_until = $1, prober = NULL, changed_at = $1, version = version + 1
WHERE prober IS NOT NULL AND ($2::uuid IS NULL OR prober = $2)
