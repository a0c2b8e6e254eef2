-- Jobs that queue many events anew, step by step. The range is what is left to look at; the version is what a step and a
-- change of the state compare with.
CREATE TABLE replays (
    id BLOB PRIMARY KEY NOT NULL,
    tenant_id BLOB NOT NULL,
    endpoint_id BLOB,
    statuses TEXT NOT NULL,
    since INTEGER,
    until INTEGER,
    after_event_id BLOB NOT NULL,
    end_event_id BLOB NOT NULL,
    rate_per_second INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'completed')),
    matched_count INTEGER NOT NULL,
    is_matched_capped INTEGER NOT NULL,
    replayed_count INTEGER NOT NULL,
    skipped_count INTEGER NOT NULL,
    next_step_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX replays_by_tenant ON replays (tenant_id, id);
CREATE INDEX replays_running ON replays (next_step_at, id) WHERE state = 'running';
