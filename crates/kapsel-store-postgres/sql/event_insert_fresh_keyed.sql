-- event_insert_fresh_keyed
-- event_insert_fresh for a batch in which some events have keys. seen: those whose key has a live use, or an expired one
-- in the place that theirs would take; nothing is stored for them, and they go to event_insert, as they are what is
-- returned. Keys are inserted plainly as well: one that somebody else takes at this moment violates the primary key. That
-- undoes everything, so no key is taken by an event that is not stored, and the whole batch goes to event_insert. Keys
-- with a guard never come here; somebody else's guard stands in the place that a key of ours would take, and is met there.
--
-- Uses lie between today ($22) and the last day in which the longest window can end ($23). Keys come in one order, so that
-- batches with the same keys wait for each other in turn. PostgreSQL does first what is written down last: keys, events,
-- queue rows, as in event_insert. Where that is otherwise, one of two that wait for each other is done anew.
WITH seen AS MATERIALIZED (
    SELECT k.event_id
    FROM (
        SELECT unnest($15::uuid[]) AS event_id, unnest($16::uuid[]) AS endpoint_id, unnest($17::bytea[]) AS key_hash,
            unnest($18::bigint[]) AS bucket
    ) k
    CROSS JOIN LATERAL (
        SELECT 1
        FROM idempotency_keys w
        WHERE w.endpoint_id = k.endpoint_id AND w.key_hash = k.key_hash AND w.bucket >= $22 AND w.bucket <= $23
            AND (w.bucket = k.bucket OR w.expires_at > $21)
        OFFSET 0
    ) u
),
queued AS (
    INSERT INTO queue
        (tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, is_leased, attempts_total,
        attempts_made, size_bytes)
    SELECT d.tenant_id, d.event_id, d.delivery_id, d.endpoint_id, d.due_at, d.lease_owner, d.lease_token,
        d.lease_token IS NOT NULL AND d.due_at > $21, 0, 0, d.size_bytes
    FROM (
        SELECT unnest($1::uuid[]) AS tenant_id, unnest($2::uuid[]) AS event_id, unnest($3::uuid[]) AS endpoint_id,
            unnest($5::bigint[]) AS size_bytes, unnest($11::uuid[]) AS delivery_id, unnest($12::bigint[]) AS due_at,
            unnest($13::uuid[]) AS lease_owner, unnest($14::bigint[]) AS lease_token
    ) d
    WHERE d.event_id NOT IN (SELECT event_id FROM seen)
),
inserted AS (
    INSERT INTO events
        (tenant_id, id, endpoint_id, received_at, size_bytes, content_type, idempotency_key, body_sha256, headers, body)
    SELECT i.tenant_id, i.id, i.endpoint_id, i.received_at, i.size_bytes, i.content_type, i.idempotency_key,
        i.body_sha256, i.headers, i.body
    FROM (
        SELECT unnest($1::uuid[]) AS tenant_id, unnest($2::uuid[]) AS id, unnest($3::uuid[]) AS endpoint_id,
            unnest($4::bigint[]) AS received_at, unnest($5::bigint[]) AS size_bytes, unnest($6::text[]) AS content_type,
            unnest($7::bytea[]) AS idempotency_key, unnest($8::bytea[]) AS body_sha256, unnest($9::bytea[]) AS headers,
            unnest($10::bytea[]) AS body
    ) i
    WHERE i.id NOT IN (SELECT event_id FROM seen)
),
won AS (
    INSERT INTO idempotency_keys (endpoint_id, key_hash, bucket, event_id, body_sha256, expires_at, is_guard)
    SELECT k.endpoint_id, k.key_hash, k.bucket, k.event_id, k.body_sha256, k.expires_at, false
    FROM (
        SELECT unnest($15::uuid[]) AS event_id, unnest($16::uuid[]) AS endpoint_id, unnest($17::bytea[]) AS key_hash,
            unnest($18::bigint[]) AS bucket, unnest($19::bytea[]) AS body_sha256, unnest($20::bigint[]) AS expires_at
    ) k
    WHERE k.event_id NOT IN (SELECT event_id FROM seen)
)
SELECT event_id FROM seen
