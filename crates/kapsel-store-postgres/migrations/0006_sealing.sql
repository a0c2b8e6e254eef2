-- The id of the master key that the secrets of endpoints are sealed under, once there is one.
CREATE TABLE sealing (
    id integer PRIMARY KEY CHECK (id = 1),
    key_id text NOT NULL
);
