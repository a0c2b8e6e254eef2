-- lease_take
-- A right for one instance at a time: free, ended, or already ours.
INSERT INTO leases (name, owner, epoch, until)
VALUES ($1, $2, 1, $3)
ON CONFLICT (name) DO UPDATE
SET owner = excluded.owner, until = excluded.until,
    epoch = leases.epoch + CASE WHEN leases.owner = excluded.owner THEN 0 ELSE 1 END
WHERE leases.owner = excluded.owner OR leases.until <= $4
RETURNING epoch
