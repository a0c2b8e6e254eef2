-- event_insert_fresh
-- What event_insert does, for the ordinary batch: no event has a key, each has one delivery to its own endpoint that is
-- queued, and its body stands in its row. Nothing is looked up. The inserts are plain ones: an event that an earlier try
-- stored violates the primary key, which undoes the whole statement, queue rows included, and the batch goes to
-- event_insert. A try that is still under way is waited for. So nothing is stored twice, or queued again after its
-- delivery. ON CONFLICT would write two records of the log for each event instead of one.
--
-- Arrays are unnested side by side in a list of columns: in FROM, each would be copied into a buffer of its own, which
-- costs more than the insert.
WITH queued AS (
    INSERT INTO queue
        (tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, is_leased, attempts_total,
        attempts_made, size_bytes)
    SELECT d.tenant_id, d.event_id, d.delivery_id, d.endpoint_id, d.due_at, d.lease_owner, d.lease_token,
        d.lease_token IS NOT NULL AND d.due_at > $15, 0, 0, d.size_bytes
    FROM (
        SELECT unnest($1::uuid[]) AS tenant_id, unnest($2::uuid[]) AS event_id, unnest($3::uuid[]) AS endpoint_id,
            unnest($5::bigint[]) AS size_bytes, unnest($11::uuid[]) AS delivery_id, unnest($12::bigint[]) AS due_at,
            unnest($13::uuid[]) AS lease_owner, unnest($14::bigint[]) AS lease_token
    ) d
)
INSERT INTO events
    (tenant_id, id, endpoint_id, received_at, size_bytes, content_type, idempotency_key, body_sha256, headers, body)
SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::bigint[]),
    unnest($6::text[]), unnest($7::bytea[]), unnest($8::bytea[]), unnest($9::bytea[]), unnest($10::bytea[])
