//! The registry of all statements. Each is a file in `sql/` whose first line is its name, so that a profile or an
//! `EXPLAIN` shows where it comes from.

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
    ($($scope:ident $name:ident = $file:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../sql/", $file, ".sql"));)*

        /// Scope, file name without its extension, and text of every statement.
        #[cfg(test)]
        pub(crate) const ALL: &[(Scope, &str, &str)] = &[$((Scope::$scope, $file, $name)),*];
    };
}

statements! {
    System ATTEMPT_INSERT = "attempt_insert";
    Tenant ATTEMPTS_OF_EVENT = "attempts_of_event";
    Tenant ATTEMPTS_SUMMARY_OF_EVENT = "attempts_summary_of_event";
    System ENDPOINT_CHANGES = "endpoint_changes";
    Tenant ENDPOINT_DELETE = "endpoint_delete";
    System ENDPOINT_DISABLE = "endpoint_disable";
    Tenant ENDPOINT_GET = "endpoint_get";
    Tenant ENDPOINT_INSERT = "endpoint_insert";
    System ENDPOINT_IS_ENABLED = "endpoint_is_enabled";
    Tenant ENDPOINT_LIST = "endpoint_list";
    Tenant ENDPOINT_UPDATE = "endpoint_update";
    Tenant ENDPOINT_VERSION = "endpoint_version";
    Tenant EVENT_BODY_INSERT = "event_body_insert";
    Tenant EVENT_EXISTS = "event_exists";
    Tenant EVENT_HEAD = "event_head";
    Tenant EVENT_IDS_GIVEN_UP = "event_ids_given_up";
    Tenant EVENT_IDS_OF_ENDPOINT = "event_ids_of_endpoint";
    Tenant EVENT_IDS_OF_TENANT = "event_ids_of_tenant";
    Tenant EVENT_IDS_QUEUED = "event_ids_queued";
    Tenant EVENT_IDS_UNDELIVERED = "event_ids_undelivered";
    Tenant EVENT_INSERT = "event_insert";
    Tenant EVENT_READ = "event_read";
    System IDEMPOTENCY_BUCKET_NEXT = "idempotency_bucket_next";
    System IDEMPOTENCY_BUCKET_SLICE = "idempotency_bucket_slice";
    System IDEMPOTENCY_DELETE = "idempotency_delete";
    System IDEMPOTENCY_FIND = "idempotency_find";
    System IDEMPOTENCY_INSERT = "idempotency_insert";
    System LANE_DUE = "lane_due";
    System LANE_IDLE = "lane_idle";
    System LANE_NEXT = "lane_next";
    System MIGRATION_INSERT = "migration_insert";
    System MIGRATION_LIST = "migration_list";
    System MIGRATION_TABLE = "migration_table";
    Tenant OUTCOME_DELETE = "outcome_delete";
    Tenant OUTCOME_INSERT = "outcome_insert";
    Tenant OUTCOMES_OF_EVENT = "outcomes_of_event";
    System PULSE_BEAT = "pulse_beat";
    Tenant QUEUE_DELETE = "queue_delete";
    System QUEUE_FINISH_IF_LEASED = "queue_finish_if_leased";
    Tenant QUEUE_INSERT = "queue_insert";
    System QUEUE_LEASE = "queue_lease";
    Tenant QUEUE_OF_EVENT = "queue_of_event";
    System QUEUE_RELEASE_ALL = "queue_release_all";
    System QUEUE_RELEASE_IF_LEASED = "queue_release_if_leased";
    System QUEUE_RETRY_IF_LEASED = "queue_retry_if_leased";
    System SPOOL_EXISTS = "spool_exists";
    System SPOOL_INSERT = "spool_insert";
    System SPOOL_KEY_FIND = "spool_key_find";
    System SPOOL_READ = "spool_read";
    System SPOOL_REMOVE = "spool_remove";
    System SPOOL_TOTALS_ADD = "spool_totals_add";
    System SPOOL_TOTALS_READ = "spool_totals_read";
}
