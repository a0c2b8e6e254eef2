-- Which events an endpoint has, in the order of their ids. An index of the events would be written at a place of its own for
-- each endpoint and commit, a whole page for each event when there are many endpoints. So events wait in the order of their
-- arrival, those of one commit in one row, and go into their places in sorted portions.
CREATE TABLE events_of_endpoints (
    tenant_id BLOB NOT NULL,
    endpoint_id BLOB NOT NULL,
    event_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id, event_id)
) STRICT, WITHOUT ROWID;

-- Entries of 48 bytes: tenant, endpoint, event.
CREATE TABLE events_unsorted (
    number INTEGER PRIMARY KEY NOT NULL,
    entries BLOB NOT NULL
) STRICT;

-- By way of the endpoints and the former index, rows come in order and nothing is sorted in memory.
INSERT INTO events_of_endpoints (tenant_id, endpoint_id, event_id)
SELECT endpoints.tenant_id, endpoints.id, events.id
FROM endpoints INDEXED BY endpoints_by_tenant
CROSS JOIN events INDEXED BY events_by_endpoint ON events.endpoint_id = endpoints.id
ORDER BY endpoints.tenant_id, endpoints.id, events.id;

-- No program stores events without an endpoint; what somebody else put there is listed as before.
INSERT INTO events_of_endpoints (tenant_id, endpoint_id, event_id)
SELECT tenant_id, endpoint_id, id
FROM events INDEXED BY events_by_endpoint
WHERE endpoint_id NOT IN (SELECT id FROM endpoints);

DROP INDEX events_by_endpoint;
