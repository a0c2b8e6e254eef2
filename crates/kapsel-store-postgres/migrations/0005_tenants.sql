-- Owners of endpoints and events, and the keys of the API. Deleted tenants stay, so that their ids stay taken and the change
-- can be told to others. Changes are numbered by endpoint_change_counter, as those of endpoints are.
CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    config text NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'suspended', 'deleted')),
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    version bigint NOT NULL,
    changed_seq bigint NOT NULL
);

CREATE UNIQUE INDEX tenants_by_change ON tenants (changed_seq);

-- A key is found by how it begins; of the rest, the hash of the whole is kept.
CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    sha256 bytea NOT NULL,
    scopes text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint,
    last_used_at bigint
);

CREATE UNIQUE INDEX api_keys_by_prefix ON api_keys (prefix);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, id);

-- The second wall between tenants, as for the other tables. Tenants themselves are the operator's.
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_only ON api_keys TO kapsel_api
    USING (tenant_id = nullif(current_setting('kapsel.tenant_id', true), '')::uuid);

GRANT SELECT, INSERT, UPDATE ON api_keys TO kapsel_api;
GRANT SELECT ON tenants TO kapsel_api;
