//! The registry of all statements. Each is a file in `sql/` whose first line is its name, so that a profile or an
//! `EXPLAIN` shows where it comes from. Beside it stand the number of its parameters and the types of its columns, which a
//! test compares with what the migrated schema says.

/// Whose rows a statement may touch.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of one tenant: it serves the API and must name `tenant_id` wherever it touches a tenant's table.
    Tenant,
    /// Everybody's: it serves delivery, housekeeping and the endpoint directory, or names rows by keys that only the
    /// engine hands out.
    System,
}

macro_rules! statements {
    ($($scope:ident $name:ident = $file:literal ($parameters:literal) -> ($($column:ident),*);)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../sql/", $file, ".sql"));)*

        /// Scope, file name without its extension, and text of every statement.
        #[cfg(test)]
        pub(crate) const ALL: &[(Scope, &str, &str)] = &[$((Scope::$scope, $file, $name)),*];

        /// How many parameters each has, and what its columns are: the declared type, or an expression.
        #[cfg(test)]
        pub(crate) const SHAPES: &[(&str, usize, &[&str])] = &[$(($file, $parameters, &[$(stringify!($column)),*])),*];
    };
}

statements! {
    Tenant API_KEY_DELETE_OF_TENANT = "api_key_delete_of_tenant" (1) -> ();
    System API_KEY_FIND = "api_key_find" (1) -> (BLOB, BLOB, TEXT, TEXT, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant API_KEY_GET = "api_key_get" (2) -> (BLOB, BLOB, TEXT, TEXT, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant API_KEY_INSERT = "api_key_insert" (10) -> ();
    Tenant API_KEY_LIST = "api_key_list" (3) -> (BLOB, BLOB, TEXT, TEXT, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant API_KEY_REVOKE = "api_key_revoke" (3) -> ();
    Tenant API_KEY_TOUCH = "api_key_touch" (3) -> ();
    System ATTEMPT_INSERT = "attempt_insert" (16) -> ();
    System ATTEMPT_TRACES = "attempt_traces" (6) ->
        (BLOB, BLOB, BLOB, INTEGER, BLOB, EXPRESSION, EXPRESSION, EXPRESSION);
    Tenant ATTEMPTS_DELETE_OF_EVENT = "attempts_delete_of_event" (2) -> ();
    Tenant ATTEMPTS_ERASE = "attempts_erase" (2) -> ();
    Tenant ATTEMPTS_OF_EVENT = "attempts_of_event" (2) ->
        (BLOB, INTEGER, BLOB, BLOB, TEXT, INTEGER, INTEGER, TEXT, TEXT, INTEGER, BLOB, BLOB, INTEGER, BLOB);
    Tenant ATTEMPTS_SUMMARY_OF_EVENT = "attempts_summary_of_event" (2) -> (BLOB, BLOB, EXPRESSION, EXPRESSION);
    System CIRCUIT_CHANGES = "circuit_changes" (1) ->
        (BLOB, BLOB, TEXT, INTEGER, BLOB, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant CIRCUIT_DELETE = "circuit_delete" (2) -> ();
    Tenant CIRCUIT_DELETE_OF_TENANT = "circuit_delete_of_tenant" (1) -> ();
    Tenant CIRCUIT_LIST = "circuit_list" (2) ->
        (BLOB, BLOB, TEXT, INTEGER, BLOB, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    System CIRCUIT_PUT_IF_VERSION = "circuit_put_if_version" (10) -> ();
    System CIRCUIT_READ = "circuit_read" (1) ->
        (BLOB, BLOB, TEXT, INTEGER, BLOB, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    System CIRCUIT_RELEASE = "circuit_release" (2) -> ();
    Tenant CIRCUIT_RESET = "circuit_reset" (3) -> ();
    System ENDPOINT_CHANGES = "endpoint_changes" (2) ->
        (BLOB, BLOB, TEXT, BLOB, TEXT, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, EXPRESSION);
    Tenant ENDPOINT_DELETE = "endpoint_delete" (3) -> ();
    Tenant ENDPOINT_DELETE_OF_TENANT = "endpoint_delete_of_tenant" (2) -> ();
    System ENDPOINT_DISABLE = "endpoint_disable" (3) -> ();
    Tenant ENDPOINT_GET = "endpoint_get" (2) -> (BLOB, BLOB, TEXT, BLOB, TEXT, TEXT, INTEGER, INTEGER, INTEGER);
    Tenant ENDPOINT_INSERT = "endpoint_insert" (9) -> ();
    System ENDPOINT_IS_ENABLED = "endpoint_is_enabled" (1) -> (EXPRESSION);
    Tenant ENDPOINT_LIST = "endpoint_list" (3) -> (BLOB, BLOB, TEXT, BLOB, TEXT, TEXT, INTEGER, INTEGER, INTEGER);
    Tenant ENDPOINT_UPDATE = "endpoint_update" (8) -> ();
    Tenant ENDPOINT_VERSION = "endpoint_version" (2) -> (INTEGER);
    System ENTRY_INSERT = "entry_insert" (4) -> ();
    System ENTRY_LIST = "entry_list" (3) -> (INTEGER, BLOB, BLOB);
    System ENTRY_OF_HASH = "entry_of_hash" (1) -> (BLOB);
    Tenant ERASURE_ADVANCE = "erasure_advance" (10) -> ();
    Tenant ERASURE_COVERS = "erasure_covers" (2) -> (EXPRESSION);
    System ERASURE_DUE = "erasure_due" (1) ->
        (BLOB, BLOB, BLOB, BLOB, BLOB, INTEGER, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant ERASURE_EVENTS = "erasure_events" (4) -> (BLOB);
    System ERASURE_FIND = "erasure_find" (1) ->
        (BLOB, BLOB, BLOB, BLOB, BLOB, INTEGER, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant ERASURE_GET = "erasure_get" (2) ->
        (BLOB, BLOB, BLOB, BLOB, BLOB, INTEGER, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant ERASURE_INSERT = "erasure_insert" (14) -> ();
    Tenant ERASURE_LIST = "erasure_list" (3) ->
        (BLOB, BLOB, BLOB, BLOB, BLOB, INTEGER, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    System ERASURE_LIST_ALL = "erasure_list_all" (2) ->
        (BLOB, BLOB, BLOB, BLOB, BLOB, INTEGER, BLOB, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant EVENT_BODY_DELETE = "event_body_delete" (2) -> ();
    Tenant EVENT_BODY_INSERT = "event_body_insert" (3) -> ();
    Tenant EVENT_DELETE = "event_delete" (2) -> ();
    Tenant EVENT_ERASE = "event_erase" (3) -> ();
    Tenant EVENT_EXISTS = "event_exists" (2) -> (EXPRESSION);
    Tenant EVENT_HEAD = "event_head" (2) -> (BLOB, INTEGER, TEXT, INTEGER, TEXT, INTEGER);
    Tenant EVENT_IDS_GIVEN_UP = "event_ids_given_up" (4) -> (BLOB);
    Tenant EVENT_IDS_GIVEN_UP_OLDEST_FIRST = "event_ids_given_up_oldest_first" (4) -> (BLOB);
    Tenant EVENT_IDS_OF_ENDPOINT = "event_ids_of_endpoint" (5) -> (BLOB);
    Tenant EVENT_IDS_OF_ENDPOINT_OLDEST_FIRST = "event_ids_of_endpoint_oldest_first" (5) -> (BLOB);
    Tenant EVENT_IDS_OF_TENANT = "event_ids_of_tenant" (4) -> (BLOB);
    Tenant EVENT_IDS_OF_TENANT_OLDEST_FIRST = "event_ids_of_tenant_oldest_first" (4) -> (BLOB);
    Tenant EVENT_IDS_QUEUED = "event_ids_queued" (4) -> (BLOB);
    Tenant EVENT_IDS_QUEUED_OLDEST_FIRST = "event_ids_queued_oldest_first" (4) -> (BLOB);
    Tenant EVENT_IDS_UNDELIVERED = "event_ids_undelivered" (4) -> (BLOB);
    Tenant EVENT_IDS_UNDELIVERED_OLDEST_FIRST = "event_ids_undelivered_oldest_first" (4) -> (BLOB);
    Tenant EVENT_INSERT = "event_insert" (10) -> ();
    Tenant EVENT_OF_ENDPOINT_DELETE = "event_of_endpoint_delete" (2) -> ();
    System EVENT_OF_ENDPOINT_INSERT = "event_of_endpoint_insert" (3) -> ();
    Tenant EVENT_READ = "event_read" (2) -> (BLOB, INTEGER, TEXT, BLOB, BLOB, EXPRESSION);
    System EVENTS_UNSORTED_COUNT = "events_unsorted_count" (0) -> (EXPRESSION, EXPRESSION);
    System EVENTS_UNSORTED_DELETE = "events_unsorted_delete" (1) -> ();
    System EVENTS_UNSORTED_INSERT = "events_unsorted_insert" (1) -> ();
    System EVENTS_UNSORTED_LIST = "events_unsorted_list" (0) -> (INTEGER, BLOB);
    System HEAD_INSERT = "head_insert" (5) -> ();
    System HEAD_LATEST = "head_latest" (1) -> (INTEGER, BLOB, INTEGER, TEXT);
    System HEAD_LIST = "head_list" (3) -> (INTEGER, BLOB, INTEGER, TEXT);
    System IDEMPOTENCY_BUCKET_NEXT = "idempotency_bucket_next" (1) -> (INTEGER);
    System IDEMPOTENCY_BUCKET_SLICE = "idempotency_bucket_slice" (4) -> (BLOB, BLOB, INTEGER);
    System IDEMPOTENCY_DELETE = "idempotency_delete" (3) -> ();
    System IDEMPOTENCY_FIND = "idempotency_find" (3) -> (BLOB, BLOB, INTEGER);
    System IDEMPOTENCY_INSERT = "idempotency_insert" (6) -> ();
    System LANE_DUE = "lane_due" (3) -> (BLOB, BLOB, BLOB, INTEGER, INTEGER, INTEGER);
    System LANE_IDLE = "lane_idle" (3) -> (BLOB, BLOB, BLOB);
    System LANE_IS_OPEN = "lane_is_open" (2) -> (EXPRESSION);
    System LANE_NEXT = "lane_next" (2) -> (BLOB, INTEGER, BLOB, EXPRESSION, EXPRESSION, INTEGER, BLOB, INTEGER);
    System LEAF_INSERT = "leaf_insert" (4) -> ();
    Tenant LEAF_OF_ATTEMPT = "leaf_of_attempt" (2) -> (BLOB, BLOB, BLOB, INTEGER);
    Tenant LEAF_OPENING = "leaf_opening" (3) -> (BLOB, TEXT, INTEGER, BLOB, BLOB);
    System LEAF_PENDING_DELETE = "leaf_pending_delete" (2) -> ();
    System LEAF_PENDING_INSERT = "leaf_pending_insert" (4) -> ();
    System LEAF_PENDING_LIST = "leaf_pending_list" (2) -> (BLOB, BLOB, BLOB);
    System LEAF_PENDING_OF_HASH = "leaf_pending_of_hash" (1) -> (BLOB);
    System LEASE_LAPSE = "lease_lapse" (1) -> ();
    System LEASE_NEXT_END = "lease_next_end" (0) -> (EXPRESSION);
    System LOG_CREATE = "log_create" (5) -> ();
    System LOG_FIND = "log_find" (1) -> (BLOB, TEXT, INTEGER, BLOB, INTEGER, BLOB, INTEGER, INTEGER, BLOB, INTEGER);
    System LOG_GROW = "log_grow" (5) -> ();
    System LOG_KEY_LIST = "log_key_list" (1) -> (TEXT, INTEGER, INTEGER);
    System LOG_KEY_PUT = "log_key_put" (4) -> ();
    System LOG_LEASE_RELEASE = "log_lease_release" (1) -> ();
    System LOG_LEASE_TAKE = "log_lease_take" (4) -> ();
    System LOG_PUBLISH = "log_publish" (4) -> ();
    System LOG_READ = "log_read" (1) -> (BLOB, TEXT, INTEGER, BLOB, INTEGER, BLOB, INTEGER, INTEGER, BLOB, INTEGER);
    System MASTER_KEY_CLAIM = "master_key_claim" (1) -> ();
    System MASTER_KEY_READ = "master_key_read" (0) -> (TEXT);
    System MASTER_KEY_REPLACE = "master_key_replace" (1) -> ();
    System MIGRATION_INSERT = "migration_insert" (3) -> ();
    System MIGRATION_LIST = "migration_list" (0) -> (INTEGER, TEXT, BLOB);
    System MIGRATION_TABLE = "migration_table" (0) -> ();
    Tenant OUTCOME_DELETE = "outcome_delete" (3) -> ();
    Tenant OUTCOME_INSERT = "outcome_insert" (6) -> ();
    Tenant OUTCOMES_DELETE_OF_EVENT = "outcomes_delete_of_event" (2) -> ();
    Tenant OUTCOMES_OF_EVENT = "outcomes_of_event" (2) -> (BLOB, BLOB, TEXT);
    System PULSE_BEAT = "pulse_beat" (0) -> ();
    Tenant QUEUE_DELETE = "queue_delete" (3) -> ();
    System QUEUE_ENTRIES = "queue_entries" (1) -> (EXPRESSION);
    System QUEUE_FINISH_IF_LEASED = "queue_finish_if_leased" (5) -> ();
    Tenant QUEUE_INSERT = "queue_insert" (9) -> ();
    System QUEUE_LEASE = "queue_lease" (6) -> ();
    Tenant QUEUE_OF_EVENT = "queue_of_event" (2) -> (BLOB, BLOB, INTEGER, EXPRESSION, INTEGER, EXPRESSION);
    System QUEUE_OLDEST_NEXT = "queue_oldest_next" (1) -> (BLOB, BLOB);
    System QUEUE_RELEASE_ALL = "queue_release_all" (2) -> ();
    System QUEUE_RELEASE_CLAIM = "queue_release_claim" (3) -> ();
    System QUEUE_RELEASE_IF_LEASED = "queue_release_if_leased" (6) -> ();
    System QUEUE_RETRY_IF_LEASED = "queue_retry_if_leased" (6) -> ();
    Tenant QUEUE_USAGE = "queue_usage" (2) -> (EXPRESSION, EXPRESSION);
    Tenant REPLAY_ADVANCE = "replay_advance" (9) -> ();
    System REPLAY_DUE = "replay_due" (1) ->
        (BLOB, BLOB, BLOB, TEXT, INTEGER, INTEGER, BLOB, BLOB, INTEGER, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER,
        INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant REPLAY_GET = "replay_get" (2) ->
        (BLOB, BLOB, BLOB, TEXT, INTEGER, INTEGER, BLOB, BLOB, INTEGER, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER,
        INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant REPLAY_INSERT = "replay_insert" (19) -> ();
    Tenant REPLAY_LIST = "replay_list" (3) ->
        (BLOB, BLOB, BLOB, TEXT, INTEGER, INTEGER, BLOB, BLOB, INTEGER, TEXT, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER,
        INTEGER, INTEGER, INTEGER, INTEGER);
    Tenant REPLAY_SET_STATE = "replay_set_state" (4) -> ();
    Tenant REPLY_DELETE_OF_TENANT = "reply_delete_of_tenant" (1) -> ();
    Tenant REPLY_INSERT = "reply_insert" (6) -> ();
    Tenant REPLY_KEEP_IF_CLAIMED = "reply_keep_if_claimed" (6) -> ();
    Tenant REPLY_PRUNE = "reply_prune" (3) -> ();
    Tenant REPLY_READ = "reply_read" (2) -> (BLOB, INTEGER, INTEGER, INTEGER, BLOB, BLOB);
    Tenant REPLY_RELEASE_IF_CLAIMED = "reply_release_if_claimed" (3) -> ();
    Tenant REPLY_RENEW = "reply_renew" (6) -> ();
    Tenant RETENTION_ATTEMPT_EVENTS = "retention_attempt_events" (4) -> (BLOB);
    System SECRETS_LIST = "secrets_list" (2) -> (BLOB, BLOB, BLOB);
    Tenant SECRETS_REPLACE_IF_SAME = "secrets_replace_if_same" (4) -> ();
    System SPOOL_EXISTS = "spool_exists" (1) -> (EXPRESSION);
    System SPOOL_INSERT = "spool_insert" (13) -> ();
    System SPOOL_KEY_FIND = "spool_key_find" (2) -> (BLOB, BLOB, INTEGER);
    System SPOOL_READ = "spool_read" (2) ->
        (INTEGER, BLOB, BLOB, BLOB, INTEGER, INTEGER, TEXT, BLOB, INTEGER, INTEGER, BLOB, TEXT, BLOB, BLOB);
    System SPOOL_REMOVE = "spool_remove" (1) -> (INTEGER);
    System SPOOL_TOTALS_ADD = "spool_totals_add" (2) -> (INTEGER, INTEGER, INTEGER);
    System SPOOL_TOTALS_READ = "spool_totals_read" (0) -> (INTEGER, INTEGER, INTEGER);
    System STATISTICS_ADD = "statistics_add" (8) -> ();
    Tenant STATISTICS_LIST = "statistics_list" (4) -> (INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER);
    System STATISTICS_PRUNE = "statistics_prune" (2) -> ();
    System TENANT_CHANGES = "tenant_changes" (2) -> (BLOB, TEXT, TEXT, INTEGER, INTEGER, INTEGER, INTEGER);
    System TENANT_DELETE = "tenant_delete" (2) -> ();
    System TENANT_GET = "tenant_get" (1) -> (BLOB, TEXT, TEXT, INTEGER, INTEGER, INTEGER, INTEGER);
    System TENANT_INSERT = "tenant_insert" (6) -> ();
    System TENANT_LIST = "tenant_list" (2) -> (BLOB, TEXT, TEXT, INTEGER, INTEGER, INTEGER, INTEGER);
    System TENANT_UPDATE = "tenant_update" (5) -> ();
    System TILE_PUT = "tile_put" (4) -> ();
    System TILE_READ = "tile_read" (3) -> (BLOB);
}
