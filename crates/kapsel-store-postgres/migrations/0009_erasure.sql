-- Erasing: the event's row stays and says when it was erased. To queue an event anew, the management API locks its row, and
-- a lock needs the right to change one of its columns.
ALTER TABLE events ADD COLUMN erased_at bigint;

GRANT UPDATE (erased_at) ON events TO kapsel_api;

-- Jobs that erase what webhooks and their attempts held: one event, or all events of a tenant in front of one. They stay for
-- ever. The version is what a step compares with; any instance makes the next one.
CREATE TABLE erasures (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    event_id uuid,
    end_event_id uuid NOT NULL,
    after_event_id uuid NOT NULL,
    is_second_look boolean NOT NULL,
    requested_by uuid,
    state text NOT NULL CHECK (state IN ('running', 'completed')),
    erased_count bigint NOT NULL,
    next_step_at bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    completed_at bigint,
    version bigint NOT NULL
);

CREATE INDEX erasures_by_tenant ON erasures (tenant_id, id);
CREATE INDEX erasures_running ON erasures (next_step_at, id) WHERE state = 'running';

-- Those of whole tenants, for whoever moves events that were accepted before.
CREATE INDEX erasures_of_tenants ON erasures (tenant_id, end_event_id) WHERE event_id IS NULL;

-- The second wall between tenants, as for the other tables.
ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON erasures TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT ON erasures TO kapsel_api;
