-- delivery_finish_if_leased
-- delivery_settle_if_leased for the ordinary batch: everything in it was delivered. What is written follows from the rows
-- that were deleted, and nothing else has to be looked up: an attempt and its leaf are there if and only if the lease held.
WITH finished AS (
    DELETE FROM queue q
    USING (
        SELECT unnest($1::uuid[]) AS tenant_id, unnest($2::uuid[]) AS event_id, unnest($3::uuid[]) AS delivery_id,
            unnest($4::uuid[]) AS endpoint_id, unnest($5::bigint[]) AS lease_token, unnest($6::uuid[]) AS attempt_id,
            unnest($7::integer[]) AS number, unnest($8::text[]) AS url, unnest($9::bigint[]) AS started_at,
            unnest($10::bigint[]) AS duration_us, unnest($11::text[]) AS failure_kind,
            unnest($12::text[]) AS failure_detail, unnest($13::integer[]) AS response_status,
            unnest($14::bytea[]) AS response_headers, unnest($15::bytea[]) AS response_body,
            unnest($16::boolean[]) AS response_body_truncated, unnest($17::bytea[]) AS leaf_secret,
            unnest($18::uuid[]) AS log_id, unnest($19::bytea[]) AS leaf_data, unnest($20::bytea[]) AS leaf_hash
    ) i
    WHERE q.tenant_id = ANY (ARRAY[i.tenant_id])
        AND (q.event_id, q.delivery_id) >= (i.event_id, i.delivery_id)
        AND (q.event_id, q.delivery_id) <= (i.event_id, i.delivery_id) AND q.lease_token = i.lease_token
    RETURNING i.*
),
attempts AS (
    INSERT INTO delivery_attempts
        (tenant_id, event_id, delivery_id, number, id, endpoint_id, url, started_at, duration_us, failure_kind,
        failure_detail, response_status, response_headers, response_body, response_body_truncated, leaf_secret)
    SELECT tenant_id, event_id, delivery_id, number, attempt_id, endpoint_id, url, started_at, duration_us, failure_kind,
        failure_detail, response_status, response_headers, response_body, response_body_truncated, leaf_secret
    FROM finished
),
leaves AS (
    INSERT INTO log_leaves (attempt_id, tenant_id, log_id, data)
    SELECT attempt_id, tenant_id, log_id, leaf_data
    FROM finished
),
waiting AS (
    INSERT INTO log_pending (log_id, attempt_id, tenant_id, hash)
    SELECT log_id, attempt_id, tenant_id, leaf_hash
    FROM finished
)
SELECT delivery_id FROM finished
