-- The id of the master key that the secrets of endpoints are sealed under, once there is one.
CREATE TABLE sealing (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key_id TEXT NOT NULL
) STRICT;
