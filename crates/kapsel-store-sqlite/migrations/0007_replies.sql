-- Answers of the management API to requests with an idempotency key. Without a status, the request is being carried out.
-- Bodies are sealed, because they can hold what is shown once.
CREATE TABLE api_replies (
    tenant_id BLOB NOT NULL,
    key_hash BLOB NOT NULL,
    request_hash BLOB NOT NULL,
    token INTEGER NOT NULL,
    lapses_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    status INTEGER,
    headers BLOB,
    body BLOB,
    PRIMARY KEY (tenant_id, key_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_replies_by_end ON api_replies (tenant_id, expires_at);
