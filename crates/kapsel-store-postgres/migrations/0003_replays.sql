-- Jobs that queue many events anew, step by step. The range is what is left to look at; the version is what a step and a
-- change of the state compare with. Any instance makes the next step: there is no lease.
CREATE TABLE replays (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    endpoint_id uuid,
    statuses text NOT NULL,
    since bigint,
    until bigint,
    after_event_id uuid NOT NULL,
    end_event_id uuid NOT NULL,
    rate_per_second bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'completed')),
    matched_count bigint NOT NULL,
    is_matched_capped boolean NOT NULL,
    replayed_count bigint NOT NULL,
    skipped_count bigint NOT NULL,
    next_step_at bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    completed_at bigint,
    version bigint NOT NULL
);

CREATE INDEX replays_by_tenant ON replays (tenant_id, id);
CREATE INDEX replays_running ON replays (next_step_at, id) WHERE state = 'running';

-- The second wall between tenants, as for the other tables.
ALTER TABLE replays ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON replays TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE ON replays TO kapsel_api;
