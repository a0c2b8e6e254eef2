-- The state of each endpoint's circuit breaker, written when it changes. The version is what a change compares with.
-- blocked_until keeps a lane off the list of those that are due, for everybody but the prober. Endpoints whose circuit
-- never changed have no row. The table of the first migration was never written to.
DROP TABLE circuits;

CREATE TABLE circuits (
    endpoint_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    blocked_until bigint,
    prober uuid,
    opened_at bigint,
    opened_times integer NOT NULL,
    failing_since bigint,
    changed_at bigint NOT NULL,
    version bigint NOT NULL
);

CREATE INDEX circuits_by_change ON circuits (changed_at);
CREATE INDEX circuits_probed ON circuits (endpoint_id) WHERE prober IS NOT NULL;

ALTER TABLE circuits ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON circuits TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON circuits TO kapsel_api;
