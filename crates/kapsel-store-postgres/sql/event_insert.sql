-- event_insert
-- A whole batch in one round trip: SQLite's event_exists, idempotency_find, idempotency_insert, event_insert,
-- event_body_insert, queue_insert and outcome_insert. Each event and each key occurs once in a batch. Most batches never
-- come here: event_insert_fresh and event_insert_fresh_keyed store what is new and usual.
--
-- stored: events that an earlier try stored; nothing is done for them. used: keys with a live use. won: keys that are
-- ours now, new or in the place of an expired use; the unique index decides between instances. short: events that did
-- not get every row of their key. What is returned are the short ones that are not stored, with the use that was seen; a
-- use that is not seen was made by somebody else meanwhile and is looked for by idempotency_find.
--
-- NOT IN, and IN in the odd form of (… IN (…)) IS TRUE, are looked up in a hash table; as joins they would compare each
-- row with each, because the connections of the engine join by index only.
WITH input AS MATERIALIZED (
    SELECT *
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[], $8::bytea[],
        $9::bytea[], $10::bytea[])
        AS i (tenant_id, id, endpoint_id, received_at, size_bytes, content_type, idempotency_key, body_sha256,
        headers, body)
),
keys AS MATERIALIZED (
    SELECT *
    FROM unnest($11::uuid[], $12::uuid[], $13::bytea[], $14::bigint[], $15::bytea[], $16::bigint[], $17::boolean[])
        AS k (event_id, endpoint_id, key_hash, bucket, body_sha256, expires_at, is_guard)
),
stored AS MATERIALIZED (
    SELECT i.id
    FROM input i
    CROSS JOIN LATERAL (SELECT 1 FROM events v WHERE v.tenant_id = i.tenant_id AND v.id = i.id OFFSET 0) e
),
used AS MATERIALIZED (
    SELECT k.event_id, u.event_id AS original, u.body_sha256
    FROM keys k
    CROSS JOIN LATERAL (
        SELECT w.event_id, w.body_sha256
        FROM idempotency_keys w
        WHERE w.endpoint_id = k.endpoint_id AND w.key_hash = k.key_hash AND w.bucket >= $19 AND w.expires_at > $18
        OFFSET 0
    ) u
    WHERE NOT k.is_guard
),
won AS (
    INSERT INTO idempotency_keys AS u (endpoint_id, key_hash, bucket, event_id, body_sha256, expires_at, is_guard)
    SELECT k.endpoint_id, k.key_hash, k.bucket, k.event_id, k.body_sha256, k.expires_at, k.is_guard
    FROM keys k
    WHERE k.event_id NOT IN (SELECT id FROM stored) AND k.event_id NOT IN (SELECT event_id FROM used)
    ORDER BY k.endpoint_id, k.key_hash, k.bucket
    ON CONFLICT (endpoint_id, key_hash, bucket) DO UPDATE
    SET event_id = excluded.event_id, body_sha256 = excluded.body_sha256, expires_at = excluded.expires_at,
        is_guard = excluded.is_guard
    WHERE u.expires_at <= $18
    RETURNING u.event_id
),
short AS MATERIALIZED (
    SELECT c.event_id
    FROM (
        SELECT event_id, 1 AS rows FROM keys
        UNION ALL
        SELECT event_id, -1 FROM won
    ) c
    GROUP BY c.event_id
    HAVING sum(c.rows) > 0
),
inserted AS (
    INSERT INTO events
        (tenant_id, id, endpoint_id, received_at, size_bytes, content_type, idempotency_key, body_sha256, headers, body)
    SELECT tenant_id, id, endpoint_id, received_at, size_bytes, content_type, idempotency_key, body_sha256, headers,
        CASE WHEN size_bytes <= 65536 THEN body END
    FROM input
    WHERE id NOT IN (SELECT id FROM stored) AND id NOT IN (SELECT event_id FROM short)
    ON CONFLICT (tenant_id, id) DO NOTHING
    RETURNING id
),
bodies AS (
    INSERT INTO event_bodies (tenant_id, event_id, body)
    SELECT tenant_id, id, body
    FROM input
    WHERE size_bytes > 65536 AND (id IN (SELECT id FROM inserted)) IS TRUE
),
deliveries AS MATERIALIZED (
    SELECT *
    FROM unnest($20::uuid[], $21::uuid[], $22::uuid[], $23::uuid[], $24::bigint[], $25::uuid[], $26::bigint[],
        $27::bigint[], $28::text[])
        AS d (tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, size_bytes, reason)
    WHERE (event_id IN (SELECT id FROM inserted)) IS TRUE
),
queued AS (
    INSERT INTO queue
        (tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token, is_leased, attempts_total,
        attempts_made, size_bytes)
    SELECT tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token,
        lease_token IS NOT NULL AND due_at > $18, 0, 0, size_bytes
    FROM deliveries
    WHERE reason IS NULL
),
ended AS (
    INSERT INTO outcomes (tenant_id, event_id, delivery_id, endpoint_id, reason, ended_at)
    SELECT tenant_id, event_id, delivery_id, endpoint_id, reason, $18
    FROM deliveries
    WHERE reason IS NOT NULL
)
SELECT s.event_id, u.original, u.body_sha256
FROM short s
LEFT JOIN used u ON u.event_id = s.event_id
WHERE s.event_id NOT IN (SELECT id FROM stored)
