//! The registry of all statements: each is a file in `sql/` whose first line is its name, with the types of what goes in
//! and comes out. Statements are prepared with exactly these types, and a test compares them with what the migrated
//! schema says.

use tokio_postgres::types::Type;

/// Whose rows a statement may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of one tenant: it serves the API, runs under the API's role, and must name `tenant_id` wherever it touches
    /// a tenant's table.
    Tenant,
    /// Everybody's: it serves ingest, delivery, housekeeping and the endpoint directory, or names rows by keys that only
    /// the engine hands out.
    System,
}

/// A statement with its types.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The name of its file.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) sql: &'static str,
    /// Whose rows it may touch.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the statements read it"))]
    pub(crate) scope: Scope,
    /// The types of its parameters.
    pub(crate) parameters: &'static [Type],
    /// The types of its columns.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the statements read it"))]
    pub(crate) columns: &'static [Type],
}

macro_rules! statements {
    ($($scope:ident $name:ident = $file:literal ($($parameter:ident),*) -> ($($column:ident),*);)*) => {
        $(pub(crate) static $name: Statement = Statement {
            name: $file,
            sql: include_str!(concat!("../sql/", $file, ".sql")),
            scope: Scope::$scope,
            parameters: &[$(Type::$parameter),*],
            columns: &[$(Type::$column),*],
        };)*

        /// Every statement.
        #[cfg(test)]
        pub(crate) static ALL: &[&Statement] = &[$(&$name),*];
    };
}

statements! {
    Tenant API_KEY_DELETE_OF_TENANT = "api_key_delete_of_tenant" (UUID) -> ();
    System API_KEY_FIND = "api_key_find" (TEXT) -> (UUID, UUID, TEXT, TEXT, BYTEA, TEXT, INT8, INT8, INT8, INT8);
    Tenant API_KEY_GET = "api_key_get" (UUID, UUID) -> (UUID, UUID, TEXT, TEXT, BYTEA, TEXT, INT8, INT8, INT8, INT8);
    Tenant API_KEY_INSERT = "api_key_insert" (UUID, UUID, TEXT, TEXT, BYTEA, TEXT, INT8, INT8, INT8, INT8) -> ();
    Tenant API_KEY_LIST = "api_key_list" (UUID, UUID, INT8) -> (UUID, UUID, TEXT, TEXT, BYTEA, TEXT, INT8, INT8, INT8, INT8);
    Tenant API_KEY_REVOKE = "api_key_revoke" (UUID, UUID, INT8) -> ();
    Tenant API_KEY_TOUCH = "api_key_touch" (UUID, UUID, INT8) -> ();
    System ATTEMPT_TRACES = "attempt_traces" (UUID, UUID, UUID, INT4, UUID, INT8) ->
        (UUID, UUID, UUID, INT4, UUID, BOOL, BOOL, BOOL);
    Tenant ATTEMPTS_DELETE_OF_EVENTS = "attempts_delete_of_events" (UUID, UUID_ARRAY) -> ();
    Tenant ATTEMPTS_ERASE = "attempts_erase" (UUID, UUID_ARRAY) -> (UUID);
    Tenant ATTEMPTS_OF_EVENT = "attempts_of_event" (UUID, UUID) ->
        (UUID, INT4, UUID, UUID, TEXT, INT8, INT8, TEXT, TEXT, INT4, BYTEA, BYTEA, BOOL, BYTEA);
    Tenant ATTEMPTS_SUMMARY_OF_EVENT = "attempts_summary_of_event" (UUID, UUID_ARRAY) -> (UUID, UUID, UUID, INT8, INT8);
    System CIRCUIT_CHANGES = "circuit_changes" (INT8) -> (UUID, UUID, TEXT, INT8, UUID, INT8, INT4, INT8, INT8, INT8);
    Tenant CIRCUIT_DELETE = "circuit_delete" (UUID, UUID) -> ();
    Tenant CIRCUIT_DELETE_OF_TENANT = "circuit_delete_of_tenant" (UUID) -> ();
    Tenant CIRCUIT_LIST = "circuit_list" (UUID, UUID_ARRAY) -> (UUID, UUID, TEXT, INT8, UUID, INT8, INT4, INT8, INT8, INT8);
    System CIRCUIT_PUT_IF_VERSION = "circuit_put_if_version"
        (UUID_ARRAY, UUID_ARRAY, TEXT_ARRAY, INT8_ARRAY, UUID_ARRAY, INT8_ARRAY, INT4_ARRAY, INT8_ARRAY, INT8_ARRAY,
        INT8_ARRAY) -> (UUID);
    System CIRCUIT_READ = "circuit_read" (UUID_ARRAY) -> (UUID, UUID, TEXT, INT8, UUID, INT8, INT4, INT8, INT8, INT8);
    System CIRCUIT_RELEASE = "circuit_release" (INT8, UUID) -> ();
    Tenant CIRCUIT_RESET = "circuit_reset" (UUID, UUID, INT8) -> ();
    System DELIVERY_CLAIM_DUE = "delivery_claim_due"
        (UUID_ARRAY, INT8_ARRAY, INT8, INT8, INT8, UUID, INT8, INT8_ARRAY) ->
        (UUID, UUID, UUID, UUID, INT4, INT4, UUID, INT8, BYTEA, BYTEA, BYTEA, BYTEA);
    System DELIVERY_DISCARD_OF_DELETED = "delivery_discard_of_deleted" (INT8, INT8, TEXT) -> (INT8);
    System DELIVERY_FINISH_IF_LEASED = "delivery_finish_if_leased"
        (UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, UUID_ARRAY, INT4_ARRAY, TEXT_ARRAY, INT8_ARRAY,
        INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT4_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, BOOL_ARRAY, BYTEA_ARRAY, UUID_ARRAY,
        BYTEA_ARRAY, BYTEA_ARRAY) -> (UUID);
    System DELIVERY_SETTLE_IF_LEASED = "delivery_settle_if_leased"
        (UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, UUID_ARRAY, INT4_ARRAY, TEXT_ARRAY, INT8_ARRAY,
        INT8_ARRAY, TEXT_ARRAY, TEXT_ARRAY, INT4_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, BOOL_ARRAY, BYTEA_ARRAY, UUID_ARRAY,
        BYTEA_ARRAY, BYTEA_ARRAY, INT8_ARRAY, TEXT_ARRAY, INT8) -> (UUID);
    System ENDPOINT_CHANGE_NEXT = "endpoint_change_next" () -> (INT8);
    System ENDPOINT_CHANGE_SKIP = "endpoint_change_skip" (INT8) -> ();
    System ENDPOINT_CHANGES = "endpoint_changes" (INT8, INT8) ->
        (UUID, UUID, TEXT, BYTEA, TEXT, INT8, INT8, INT8, INT8, BOOL);
    Tenant ENDPOINT_DELETE = "endpoint_delete" (UUID, UUID, INT8, INT8) -> ();
    Tenant ENDPOINT_DELETE_OF_TENANT = "endpoint_delete_of_tenant" (UUID, INT8, INT8) -> ();
    System ENDPOINT_DISABLE = "endpoint_disable" (UUID, TEXT, INT8, INT8) -> ();
    Tenant ENDPOINT_GET = "endpoint_get" (UUID, UUID) -> (UUID, UUID, TEXT, BYTEA, TEXT, INT8, INT8, INT8);
    Tenant ENDPOINT_INSERT = "endpoint_insert" (UUID, UUID, TEXT, BYTEA, TEXT, TEXT, INT8, INT8, INT8, INT8) -> ();
    Tenant ENDPOINT_LIST = "endpoint_list" (UUID, UUID, INT8) -> (UUID, UUID, TEXT, BYTEA, TEXT, INT8, INT8, INT8);
    Tenant ENDPOINT_LOCK_ENABLED = "endpoint_lock_enabled" (UUID, UUID_ARRAY) -> (UUID);
    Tenant ENDPOINT_UPDATE = "endpoint_update" (UUID, UUID, TEXT, BYTEA, TEXT, TEXT, INT8, INT8, INT8) -> ();
    Tenant ENDPOINT_VERSION = "endpoint_version" (UUID, UUID) -> (INT8, BOOL);
    System ENTRY_INSERT = "entry_insert" (UUID, INT8, UUID_ARRAY, INT8_ARRAY) -> ();
    System ENTRY_LIST = "entry_list" (UUID, INT8, INT8) -> (INT8, UUID, BYTEA);
    System ENTRY_OF_HASH = "entry_of_hash" (INT8) -> (UUID);
    Tenant ERASURE_ADVANCE = "erasure_advance" (UUID, UUID, UUID, BOOL, TEXT, INT8, INT8, INT8, INT8, INT8) -> ();
    System ERASURE_COVERS = "erasure_covers" (UUID_ARRAY, UUID_ARRAY) -> (UUID);
    System ERASURE_DUE = "erasure_due" (INT8) ->
        (UUID, UUID, UUID, UUID, UUID, BOOL, UUID, TEXT, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant ERASURE_EVENTS = "erasure_events" (UUID, UUID, UUID, INT8) -> (UUID);
    System ERASURE_FIND = "erasure_find" (UUID) ->
        (UUID, UUID, UUID, UUID, UUID, BOOL, UUID, TEXT, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant ERASURE_GET = "erasure_get" (UUID, UUID) ->
        (UUID, UUID, UUID, UUID, UUID, BOOL, UUID, TEXT, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant ERASURE_INSERT = "erasure_insert"
        (UUID, UUID, UUID, UUID, UUID, BOOL, UUID, TEXT, INT8, INT8, INT8, INT8, INT8, INT8) -> ();
    Tenant ERASURE_LIST = "erasure_list" (UUID, UUID, INT8) ->
        (UUID, UUID, UUID, UUID, UUID, BOOL, UUID, TEXT, INT8, INT8, INT8, INT8, INT8, INT8);
    System ERASURE_LIST_ALL = "erasure_list_all" (UUID, INT8) ->
        (UUID, UUID, UUID, UUID, UUID, BOOL, UUID, TEXT, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant ERASURE_LOCK = "erasure_lock" (UUID, UUID) ->
        (UUID, UUID, UUID, UUID, UUID, BOOL, UUID, TEXT, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant EVENT_BODIES_DELETE = "event_bodies_delete" (UUID, UUID_ARRAY) -> ();
    System EVENT_EXISTS = "event_exists" (UUID_ARRAY, UUID_ARRAY) -> (UUID);
    Tenant EVENT_HEAD = "event_head" (UUID, UUID_ARRAY) -> (UUID, UUID, INT8, TEXT, INT8, BYTEA, INT8);
    Tenant EVENT_IDS_GIVEN_UP = "event_ids_given_up" (UUID, UUID, UUID, INT8) -> (UUID);
    Tenant EVENT_IDS_GIVEN_UP_OLDEST_FIRST = "event_ids_given_up_oldest_first" (UUID, UUID, UUID, INT8) -> (UUID);
    Tenant EVENT_IDS_OF_ENDPOINT = "event_ids_of_endpoint" (UUID, UUID, UUID, INT8, UUID) -> (UUID);
    Tenant EVENT_IDS_OF_ENDPOINT_OLDEST_FIRST = "event_ids_of_endpoint_oldest_first" (UUID, UUID, UUID, INT8, UUID) -> (UUID);
    Tenant EVENT_IDS_OF_TENANT = "event_ids_of_tenant" (UUID, UUID, UUID, INT8) -> (UUID);
    Tenant EVENT_IDS_OF_TENANT_OLDEST_FIRST = "event_ids_of_tenant_oldest_first" (UUID, UUID, UUID, INT8) -> (UUID);
    Tenant EVENT_IDS_QUEUED = "event_ids_queued" (UUID, UUID, UUID, INT8) -> (UUID);
    Tenant EVENT_IDS_QUEUED_OLDEST_FIRST = "event_ids_queued_oldest_first" (UUID, UUID, UUID, INT8) -> (UUID);
    Tenant EVENT_IDS_UNDELIVERED = "event_ids_undelivered" (UUID, UUID, UUID, INT8) -> (UUID);
    Tenant EVENT_IDS_UNDELIVERED_OLDEST_FIRST = "event_ids_undelivered_oldest_first" (UUID, UUID, UUID, INT8) -> (UUID);
    System EVENT_INSERT = "event_insert"
        (UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY,
        BYTEA_ARRAY, UUID_ARRAY, UUID_ARRAY, BYTEA_ARRAY, INT8_ARRAY, BYTEA_ARRAY, INT8_ARRAY, BOOL_ARRAY, INT8, INT8,
        UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY) ->
        (UUID, UUID, BYTEA);
    System EVENT_INSERT_FRESH = "event_insert_fresh"
        (UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY,
        BYTEA_ARRAY, UUID_ARRAY, INT8_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8) -> ();
    System EVENT_INSERT_FRESH_KEYED = "event_insert_fresh_keyed"
        (UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY, BYTEA_ARRAY,
        BYTEA_ARRAY, UUID_ARRAY, INT8_ARRAY, UUID_ARRAY, INT8_ARRAY, UUID_ARRAY, UUID_ARRAY, BYTEA_ARRAY, INT8_ARRAY,
        BYTEA_ARRAY, INT8_ARRAY, INT8, INT8, INT8) -> (UUID);
    Tenant EVENT_LOCK = "event_lock" (UUID, UUID_ARRAY) -> (UUID);
    Tenant EVENT_LOCK_SHARED = "event_lock_shared" (UUID, UUID_ARRAY) -> (UUID);
    Tenant EVENT_READ = "event_read" (UUID, UUID) -> (UUID, INT8, BYTEA, BYTEA, BYTEA, BYTEA);
    Tenant EVENTS_DELETE = "events_delete" (UUID, UUID_ARRAY) -> ();
    Tenant EVENTS_ERASE = "events_erase" (UUID, UUID_ARRAY, INT8) -> (UUID);
    System HEAD_INSERT = "head_insert" (UUID, INT8, BYTEA, INT8, TEXT) -> ();
    System HEAD_LATEST = "head_latest" (UUID) -> (INT8, BYTEA, INT8, TEXT);
    System HEAD_LIST = "head_list" (UUID, INT8, INT8) -> (INT8, BYTEA, INT8, TEXT);
    System IDEMPOTENCY_BUCKET_SLICE = "idempotency_bucket_slice" (INT8, UUID, BYTEA, INT8, INT8) ->
        (UUID, BYTEA, INT8, INT8, BOOL);
    System IDEMPOTENCY_DELETE = "idempotency_delete" (UUID_ARRAY, BYTEA_ARRAY, INT8_ARRAY, INT8) -> (BOOL);
    System IDEMPOTENCY_FIND = "idempotency_find" (UUID_ARRAY, UUID_ARRAY, BYTEA_ARRAY, INT8, INT8) ->
        (UUID, UUID, BYTEA);
    System IDEMPOTENCY_GIVE_BACK = "idempotency_give_back" (UUID_ARRAY, UUID_ARRAY, BYTEA_ARRAY, INT8) -> ();
    System INSTANCE_BEAT = "instance_beat" (UUID, TEXT, INT8, BOOL) -> ();
    System INSTANCE_FORGET = "instance_forget" (INT8) -> ();
    System LANE_SCAN = "lane_scan" (INT8, UUID, INT4, UUID) -> (UUID, INT8, UUID, INT8);
    Tenant LEAF_OF_ATTEMPT = "leaf_of_attempt" (UUID, UUID) -> (UUID, UUID, BYTEA, INT8);
    Tenant LEAF_OPENING = "leaf_opening" (UUID, UUID, UUID) -> (BYTEA, TEXT, INT4, BYTEA, BYTEA);
    System LEAF_PENDING_DELETE = "leaf_pending_delete" (UUID, UUID_ARRAY) -> ();
    System LEAF_PENDING_LIST = "leaf_pending_list" (UUID, INT8) -> (UUID, UUID, BYTEA);
    System LEAF_PENDING_OF_HASH = "leaf_pending_of_hash" (BYTEA) -> (UUID);
    System LEASE_LAPSE = "lease_lapse" (INT8, INT8, INT8) -> ();
    System LEASE_TAKE = "lease_take" (TEXT, UUID, INT8, INT8) -> (INT8);
    System LOG_CREATE = "log_create" (UUID, TEXT, TEXT, BYTEA, INT8) -> ();
    System LOG_FIND = "log_find" (TEXT) -> (UUID, TEXT, INT8, BYTEA, INT8, UUID, INT8, INT8, BYTEA, INT8);
    System LOG_GROW = "log_grow" (UUID, INT8, INT8, INT8, BYTEA) -> ();
    System LOG_KEY_LIST = "log_key_list" (UUID) -> (TEXT, INT8, INT8);
    System LOG_KEY_PUT = "log_key_put" (UUID, TEXT, INT8, INT8) -> ();
    System LOG_LEASE_RELEASE = "log_lease_release" (UUID, TEXT) -> ();
    System LOG_LEASE_TAKE = "log_lease_take" (UUID, UUID, INT8, INT8) -> (UUID, TEXT, INT8, BYTEA, INT8, UUID, INT8, INT8, BYTEA, INT8);
    System LOG_PUBLISH = "log_publish" (UUID, INT8, INT8, BYTEA) -> ();
    System LOG_READ = "log_read" (UUID) -> (UUID, TEXT, INT8, BYTEA, INT8, UUID, INT8, INT8, BYTEA, INT8);
    System MASTER_KEY_CLAIM = "master_key_claim" (TEXT) -> ();
    System MASTER_KEY_READ = "master_key_read" () -> (TEXT);
    System MASTER_KEY_REPLACE = "master_key_replace" (TEXT) -> ();
    System MIGRATION_INSERT = "migration_insert" (INT8, TEXT, BYTEA) -> ();
    System MIGRATION_LIST = "migration_list" () -> (INT8, TEXT, BYTEA);
    System MIGRATION_LOCK = "migration_lock" () -> (INT8);
    System MIGRATION_TABLE = "migration_table" () -> ();
    Tenant OUTCOME_DELETE = "outcome_delete" (UUID, UUID) -> ();
    Tenant OUTCOME_DELETE_OF_EVENTS = "outcome_delete_of_events" (UUID, UUID_ARRAY) -> ();
    Tenant OUTCOMES_OF_EVENT = "outcomes_of_event" (UUID, UUID_ARRAY) -> (UUID, UUID, UUID, TEXT);
    System PARTITION_LIST = "partition_list" (TEXT) -> (TEXT);
    System PULSE_BEAT = "pulse_beat" () -> ();
    System QUEUE_COUNT = "queue_count" (INT8) -> (INT8);
    Tenant QUEUE_END_OF_EVENTS = "queue_end_of_events" (UUID, UUID_ARRAY, TEXT, INT8) -> ();
    Tenant QUEUE_LOCK_OF_EVENTS = "queue_lock_of_events" (UUID, UUID_ARRAY) -> (UUID);
    Tenant QUEUE_OF_EVENT = "queue_of_event" (UUID, UUID_ARRAY) -> (UUID, UUID, UUID, INT8, BOOL, INT4, BOOL);
    System QUEUE_OLDEST = "queue_oldest" (INT4) -> (UUID);
    Tenant QUEUE_PUT_IF_IDLE = "queue_put_if_idle" (UUID, UUID, UUID, UUID, INT8, INT4, INT8) -> (UUID);
    Tenant QUEUE_PUT_MANY_IF_IDLE = "queue_put_many_if_idle"
        (UUID, UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT4_ARRAY, INT8_ARRAY, INT8) -> (UUID);
    System QUEUE_RELEASE_ALL = "queue_release_all" (INT8, UUID) -> ();
    System QUEUE_RELEASE_CLAIM = "queue_release_claim" (INT8, INT8, INT8) -> ();
    System QUEUE_RELEASE_IF_LEASED = "queue_release_if_leased"
        (UUID_ARRAY, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8) -> ();
    Tenant QUEUE_USAGE = "queue_usage" (UUID, INT8) -> (INT8, INT8);
    Tenant REPLAY_ADVANCE = "replay_advance" (UUID, UUID, UUID, INT8, INT8, INT8, INT8, TEXT, INT8) -> ();
    System REPLAY_DUE = "replay_due" (INT8) ->
        (UUID, UUID, UUID, TEXT, INT8, INT8, UUID, UUID, INT8, TEXT, INT8, BOOL, INT8, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant REPLAY_GET = "replay_get" (UUID, UUID) ->
        (UUID, UUID, UUID, TEXT, INT8, INT8, UUID, UUID, INT8, TEXT, INT8, BOOL, INT8, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant REPLAY_INSERT = "replay_insert"
        (UUID, UUID, UUID, TEXT, INT8, INT8, UUID, UUID, INT8, TEXT, INT8, BOOL, INT8, INT8, INT8, INT8, INT8, INT8,
        INT8) -> ();
    Tenant REPLAY_LIST = "replay_list" (UUID, UUID, INT8) ->
        (UUID, UUID, UUID, TEXT, INT8, INT8, UUID, UUID, INT8, TEXT, INT8, BOOL, INT8, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant REPLAY_LOCK = "replay_lock" (UUID, UUID) ->
        (UUID, UUID, UUID, TEXT, INT8, INT8, UUID, UUID, INT8, TEXT, INT8, BOOL, INT8, INT8, INT8, INT8, INT8, INT8, INT8);
    Tenant REPLAY_SET_STATE = "replay_set_state" (UUID, UUID, TEXT, INT8) -> ();
    Tenant REPLY_DELETE_OF_TENANT = "reply_delete_of_tenant" (UUID) -> ();
    Tenant REPLY_INSERT = "reply_insert" (UUID, BYTEA, BYTEA, INT8, INT8, INT8) -> ();
    Tenant REPLY_KEEP_IF_CLAIMED = "reply_keep_if_claimed" (UUID, BYTEA, INT8, INT4, BYTEA, BYTEA) -> ();
    Tenant REPLY_PRUNE = "reply_prune" (UUID, INT8, INT8) -> ();
    Tenant REPLY_READ = "reply_read" (UUID, BYTEA) -> (BYTEA, INT8, INT8, INT4, BYTEA, BYTEA);
    Tenant REPLY_RELEASE_IF_CLAIMED = "reply_release_if_claimed" (UUID, BYTEA, INT8) -> ();
    Tenant REPLY_RENEW = "reply_renew" (UUID, BYTEA, BYTEA, INT8, INT8, INT8) -> ();
    Tenant RETENTION_ATTEMPT_EVENTS = "retention_attempt_events" (UUID, UUID, UUID, INT8) -> (UUID);
    System SECRETS_LIST = "secrets_list" (UUID, INT8) -> (UUID, UUID, BYTEA);
    Tenant SECRETS_REPLACE_IF_SAME = "secrets_replace_if_same" (UUID, UUID, BYTEA, BYTEA) -> ();
    System STATISTICS_ADD = "statistics_add"
        (INT8, UUID_ARRAY, UUID_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY, INT8_ARRAY) -> ();
    Tenant STATISTICS_LIST = "statistics_list" (UUID, UUID, INT8, INT8) -> (INT8, INT8, INT8, INT8, INT8, INT8);
    System STATISTICS_PRUNE = "statistics_prune" (INT8, INT8) -> ();
    System TENANT_CHANGES = "tenant_changes" (INT8, INT8) -> (UUID, TEXT, TEXT, INT8, INT8, INT8, INT8);
    System TENANT_DELETE = "tenant_delete" (UUID, INT8, INT8) -> ();
    System TENANT_GET = "tenant_get" (UUID) -> (UUID, TEXT, TEXT, INT8, INT8, INT8, INT8);
    System TENANT_INSERT = "tenant_insert" (UUID, TEXT, TEXT, INT8, INT8, INT8, INT8) -> ();
    System TENANT_LIST = "tenant_list" (UUID, UUID, INT8) -> (UUID, TEXT, TEXT, INT8, INT8, INT8, INT8);
    System TENANT_UPDATE = "tenant_update" (UUID, TEXT, TEXT, INT8, INT8, INT8) -> ();
    System TENANT_VERSION = "tenant_version" (UUID) -> (INT8);
    System TILE_PUT = "tile_put" (UUID, INT2_ARRAY, INT8_ARRAY, BYTEA_ARRAY) -> ();
    System TILE_READ = "tile_read" (UUID, INT2_ARRAY, INT8_ARRAY) -> (INT2, INT8, BYTEA);
}
