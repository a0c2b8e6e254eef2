-- instance_beat
INSERT INTO instances (id, version, started_at, last_seen_at, is_draining)
VALUES ($1, $2, $3, $3, $4)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, last_seen_at = excluded.last_seen_at,
    is_draining = excluded.is_draining
