-- delivery_settle_if_leased
-- One statement for what SQLite does with queue_finish_if_leased, queue_retry_if_leased, attempt_insert, outcome_insert,
-- leaf_insert and leaf_pending_insert: one round trip and one commit for a whole batch. Each delivery is named once; a due
-- time means that it is tried again. Rows whose lease is another one are left alone, and nothing is written for them. Keys
-- are compared as ranges of one, as everywhere where rows are changed by a list (docs/adr/0007). A batch in which
-- everything is delivered goes through delivery_finish_if_leased.
WITH input AS MATERIALIZED (
    SELECT unnest($1::uuid[]) AS tenant_id, unnest($2::uuid[]) AS event_id, unnest($3::uuid[]) AS delivery_id,
        unnest($4::uuid[]) AS endpoint_id, unnest($5::bigint[]) AS lease_token, unnest($6::uuid[]) AS attempt_id,
        unnest($7::integer[]) AS number, unnest($8::text[]) AS url, unnest($9::bigint[]) AS started_at,
        unnest($10::bigint[]) AS duration_us, unnest($11::text[]) AS failure_kind,
        unnest($12::text[]) AS failure_detail, unnest($13::integer[]) AS response_status,
        unnest($14::bytea[]) AS response_headers, unnest($15::bytea[]) AS response_body,
        unnest($16::boolean[]) AS response_body_truncated, unnest($17::bytea[]) AS leaf_secret,
        unnest($18::uuid[]) AS log_id, unnest($19::bytea[]) AS leaf_data, unnest($20::bytea[]) AS leaf_hash,
        unnest($21::bigint[]) AS due_at, unnest($22::text[]) AS reason
),
finished AS (
    DELETE FROM queue q USING input i
    WHERE i.due_at IS NULL AND q.tenant_id = ANY (ARRAY[i.tenant_id])
        AND (q.event_id, q.delivery_id) >= (i.event_id, i.delivery_id)
        AND (q.event_id, q.delivery_id) <= (i.event_id, i.delivery_id) AND q.lease_token = i.lease_token
    RETURNING q.delivery_id
),
retried AS (
    UPDATE queue q
    SET due_at = i.due_at, lease_owner = NULL, lease_token = NULL, is_leased = false, attempts_total = q.attempts_total + 1,
        attempts_made = q.attempts_made + 1
    FROM input i
    WHERE i.due_at IS NOT NULL AND q.tenant_id = ANY (ARRAY[i.tenant_id])
        AND (q.event_id, q.delivery_id) >= (i.event_id, i.delivery_id)
        AND (q.event_id, q.delivery_id) <= (i.event_id, i.delivery_id) AND q.lease_token = i.lease_token
    RETURNING q.delivery_id
),
held AS MATERIALIZED (
    SELECT delivery_id FROM finished
    UNION ALL
    SELECT delivery_id FROM retried
),
attempts AS (
    INSERT INTO delivery_attempts
        (tenant_id, event_id, delivery_id, number, id, endpoint_id, url, started_at, duration_us, failure_kind,
        failure_detail, response_status, response_headers, response_body, response_body_truncated, leaf_secret)
    SELECT tenant_id, event_id, delivery_id, number, attempt_id, endpoint_id, url, started_at, duration_us, failure_kind,
        failure_detail, response_status, response_headers, response_body, response_body_truncated, leaf_secret
    FROM input
    WHERE (delivery_id IN (SELECT delivery_id FROM held)) IS TRUE
),
leaves AS (
    INSERT INTO log_leaves (attempt_id, tenant_id, log_id, data)
    SELECT attempt_id, tenant_id, log_id, leaf_data
    FROM input
    WHERE (delivery_id IN (SELECT delivery_id FROM held)) IS TRUE
),
waiting AS (
    INSERT INTO log_pending (log_id, attempt_id, tenant_id, hash)
    SELECT log_id, attempt_id, tenant_id, leaf_hash
    FROM input
    WHERE (delivery_id IN (SELECT delivery_id FROM held)) IS TRUE
),
given_up AS (
    INSERT INTO outcomes (tenant_id, event_id, delivery_id, endpoint_id, reason, ended_at)
    SELECT tenant_id, event_id, delivery_id, endpoint_id, reason, $23
    FROM input
    WHERE reason IS NOT NULL AND (delivery_id IN (SELECT delivery_id FROM held)) IS TRUE
    ON CONFLICT (tenant_id, event_id, delivery_id) DO UPDATE SET reason = excluded.reason, ended_at = excluded.ended_at
)
SELECT delivery_id FROM held
