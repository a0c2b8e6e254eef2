-- Erasing: the event's row stays and says when it was erased.
ALTER TABLE events ADD COLUMN erased_at INTEGER;

-- Jobs that erase what webhooks and their attempts held: one event, or all events of a tenant in front of one. They stay for
-- ever. The version is what a step compares with.
CREATE TABLE erasures (
    id BLOB PRIMARY KEY NOT NULL,
    tenant_id BLOB NOT NULL,
    event_id BLOB,
    end_event_id BLOB NOT NULL,
    after_event_id BLOB NOT NULL,
    is_second_look INTEGER NOT NULL,
    requested_by BLOB,
    state TEXT NOT NULL CHECK (state IN ('running', 'completed')),
    erased_count INTEGER NOT NULL,
    next_step_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX erasures_by_tenant ON erasures (tenant_id, id);
CREATE INDEX erasures_running ON erasures (next_step_at, id) WHERE state = 'running';

-- Those of whole tenants, for whoever moves events that were accepted before.
CREATE INDEX erasures_of_tenants ON erasures (tenant_id, end_event_id) WHERE event_id IS NULL;
