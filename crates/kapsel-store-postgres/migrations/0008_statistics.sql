-- Figures of endpoints by the hour, counted from the epoch. They are added up as it happens, so nobody has to count. Each
-- instance adds a few times a minute, to rows in the order of their keys.
CREATE TABLE endpoint_statistics (
    endpoint_id uuid NOT NULL,
    hour bigint NOT NULL,
    tenant_id uuid NOT NULL,
    accepted bigint NOT NULL,
    duplicates bigint NOT NULL,
    refused bigint NOT NULL,
    delivered bigint NOT NULL,
    failed bigint NOT NULL,
    PRIMARY KEY (endpoint_id, hour)
);

CREATE INDEX endpoint_statistics_by_hour ON endpoint_statistics (hour);

-- The second wall between tenants, as for the other tables.
ALTER TABLE endpoint_statistics ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON endpoint_statistics TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);

GRANT SELECT ON endpoint_statistics TO kapsel_api;
