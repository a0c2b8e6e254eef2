-- Answers of the management API to requests with an idempotency key. Without a status, the request is being carried out.
-- Bodies are sealed, because they can hold what is shown once.
CREATE TABLE api_replies (
    tenant_id uuid NOT NULL,
    key_hash bytea NOT NULL,
    request_hash bytea NOT NULL,
    token bigint NOT NULL,
    lapses_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    status integer,
    headers bytea,
    body bytea,
    PRIMARY KEY (tenant_id, key_hash)
);

CREATE INDEX api_replies_by_end ON api_replies (tenant_id, expires_at);

-- The second wall between tenants, as for the other tables.
ALTER TABLE api_replies ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON api_replies TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE, DELETE ON api_replies TO kapsel_api;
