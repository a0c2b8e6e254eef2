-- Figures of endpoints by the hour, counted from the epoch. They are added up as it happens, so nobody has to count.
CREATE TABLE endpoint_statistics (
    endpoint_id BLOB NOT NULL,
    hour INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    accepted INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (endpoint_id, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX endpoint_statistics_by_hour ON endpoint_statistics (hour);
