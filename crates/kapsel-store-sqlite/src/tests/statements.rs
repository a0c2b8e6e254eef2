//! Every statement against the real schema, that of a store or that of a spool: it can be prepared, it names its tenant,
//! and it takes no long way.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use crate::migrate::{MIGRATIONS, SPOOL_MIGRATIONS, migrate};
use crate::statements::{self as sql, ALL, SHAPES, Scope};

/// Tables whose rows belong to a tenant.
const TENANT_TABLES: &[&str] = &[
    "endpoints",
    "events",
    "event_bodies",
    "events_of_endpoints",
    "queue",
    "delivery_attempts",
    "outcomes",
    "circuits",
    "replays",
    "log_leaves",
    "erasures",
    "api_keys",
    "api_replies",
    "endpoint_statistics",
];

/// The databases that statements are written for.
struct Schemas {
    store: Connection,
    spool: Connection,
}

impl Schemas {
    /// The one that the statement `name` is for. Those of the migrations are for both, and tried on the store's.
    fn of(&self, name: &str) -> &Connection {
        if name.starts_with("spool_") { &self.spool } else { &self.store }
    }
}

fn migrated() -> Schemas {
    let [store, spool] = [MIGRATIONS, SPOOL_MIGRATIONS].map(|migrations| {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, migrations).unwrap();
        connection
    });
    Schemas { store, spool }
}

#[test]
fn every_statement_can_be_prepared() {
    let schemas = migrated();
    for (_, name, text) in ALL {
        schemas.of(name).prepare(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_statement_begins_with_its_name_and_every_file_is_registered() {
    for (_, name, text) in ALL {
        assert_eq!(text.lines().next(), Some(format!("-- {name}").as_str()));
        assert_eq!(text.matches("-- ").count(), text.lines().filter(|line| line.starts_with("-- ")).count(), "{name}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let file_name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let files: BTreeSet<_> = folder.read_dir().unwrap().map(file_name).collect();
    let registered: BTreeSet<_> = ALL.iter().map(|(_, name, _)| format!("{name}.sql")).collect();
    assert_eq!(files, registered);
}

#[test]
fn every_statement_has_the_parameters_and_columns_that_the_code_gives_it() {
    let schemas = migrated();
    assert_eq!(SHAPES.len(), ALL.len());
    for ((name, parameters, columns), (_, _, text)) in SHAPES.iter().zip(ALL) {
        let statement = schemas.of(name).prepare(text).unwrap();
        let types: Vec<_> =
            statement.columns().map(|column| column.decl_type().unwrap_or("EXPRESSION").to_owned()).collect();
        assert_eq!(statement.parameter_count(), *parameters, "parameters of {name}");
        assert_eq!(types, *columns, "columns of {name}");
    }
}

/// The text without comments, as words.
fn words(text: &str) -> Vec<&str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn database_queries_enforce_tenant_id_filtering() {
    for (_, name, text) in ALL.iter().filter(|(scope, ..)| *scope == Scope::Tenant) {
        let words = words(text);
        assert!(TENANT_TABLES.iter().any(|table| words.contains(table)), "{name} touches no tenant's table");
        if words.contains(&"INSERT") {
            assert!(words.contains(&"tenant_id"), "{name} does not write the tenant");
            continue;
        }
        // Each part of a union for itself.
        let parts = words.iter().filter(|word| **word == "UNION").count() + 1;
        let conditions = text.matches("tenant_id = ?1").count();
        assert!(conditions >= parts, "{name} has {parts} parts and {conditions} conditions on the tenant");
    }
}

/// What serves the API is registered as such, so that the test above sees it.
#[test]
fn modules_that_serve_the_api_use_statements_of_a_tenant() {
    let allowed_for_everybody = [
        "API_KEY_FIND",
        "ENDPOINT_CHANGES",
        "ENDPOINT_IS_ENABLED",
        "ERASURE_DUE",
        "ERASURE_FIND",
        "ERASURE_LIST_ALL",
        "PULSE_BEAT",
        "REPLAY_DUE",
        "TENANT_GET",
    ];
    let modules = [
        include_str!("../admin.rs"),
        include_str!("../api_keys.rs"),
        include_str!("../erasures.rs"),
        include_str!("../event_ids.rs"),
        include_str!("../events.rs"),
        include_str!("../replay_step.rs"),
        include_str!("../replays.rs"),
        include_str!("../replies.rs"),
        include_str!("../status.rs"),
    ];
    let used = modules.iter().flat_map(|text| text.split("sql::").skip(1));
    let used: BTreeSet<_> =
        used.filter_map(|rest| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next()).collect();
    assert!(used.len() > 10, "{used:?}");
    for constant in used.iter().filter(|constant| !constant.is_empty() && !allowed_for_everybody.contains(constant)) {
        let name = constant.to_lowercase();
        let registered = ALL.iter().find(|(_, file, _)| *file == name);
        assert!(matches!(registered, Some((Scope::Tenant, ..))), "{constant} is used for the API");
    }
}

/// Spooled events keep their owner, though they are read and removed for everybody alike.
#[test]
fn what_is_spooled_names_its_tenant() {
    for text in [sql::SPOOL_INSERT, sql::SPOOL_READ] {
        assert!(words(text).contains(&"tenant_id"));
    }
    let spooled = ALL.iter().filter(|(_, name, _)| name.starts_with("spool_"));
    assert!(spooled.clone().count() > 5);
    for (scope, name, _) in spooled {
        assert_eq!(*scope, Scope::System, "{name}");
    }
}

fn plan(connection: &Connection, text: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn no_statement_looks_at_all_rows_of_a_large_table() {
    let schemas = migrated();
    let exempt = [
        // Everything that is queued, once, when a process starts; and the circuits that are probed.
        "queue_release_all",
        "circuit_release",
        // Tables of a few rows, or of what was settled within the last second.
        "migration_list",
        "log_lease_release",
        "leaf_pending_of_hash",
        // What waits to be sorted, some thousands of rows.
        "events_unsorted_count",
        "events_unsorted_list",
        // An index in which only the running jobs are.
        "replay_due",
        "erasure_due",
        // What they read whole is a list of their own, of one tenant's endpoints, of its queue up to a bound, or of the parts
        // of the log.
        "entry_of_hash",
        "endpoint_delete_of_tenant",
        "queue_usage",
    ];
    let mut steps = 0;
    for (_, name, text) in ALL.iter().filter(|(_, name, _)| !exempt.contains(name)) {
        for step in plan(schemas.of(name), text) {
            let is_scan = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW";
            assert!(!is_scan && !step.contains("AUTOMATIC"), "{name}: {step}");
            steps += 1;
        }
    }
    assert!(steps > ALL.len() / 2, "the plans were read");
}

#[test]
fn no_list_is_sorted_in_memory() {
    let schemas = migrated();
    for (_, name, text) in ALL {
        for step in plan(schemas.of(name), text) {
            assert!(!step.contains("TEMP B-TREE"), "{name}: {step}");
        }
    }
}

/// One row by its whole key, and a range of events.
const DELIVERY_KEY: &str = "PRIMARY KEY (is_leased=? AND tenant_id=? AND event_id=? AND delivery_id=?)";
const EVENT_OF_ENDPOINT: &str = "PRIMARY KEY (tenant_id=? AND endpoint_id=? AND event_id=?)";
const EVENTS_OF_ENDPOINT: &str = "PRIMARY KEY (tenant_id=? AND endpoint_id=? AND event_id>? AND event_id<?)";
const QUEUED_EVENTS: &str = "PRIMARY KEY (is_leased=? AND tenant_id=? AND event_id>? AND event_id<?)";

#[test]
fn hot_statements_go_by_their_keys() {
    let schemas = migrated();
    let expected = [
        ("circuit_put_if_version", sql::CIRCUIT_PUT_IF_VERSION, "PRIMARY KEY (endpoint_id=?)"),
        ("circuit_changes", sql::CIRCUIT_CHANGES, "circuits_by_change (changed_at>?)"),
        ("lane_is_open", sql::LANE_IS_OPEN, "PRIMARY KEY (endpoint_id=?)"),
        ("event_exists", sql::EVENT_EXISTS, "USING COVERING INDEX sqlite_autoindex_events_1 (tenant_id=? AND id=?)"),
        ("event_read", sql::EVENT_READ, "USING INDEX sqlite_autoindex_events_1 (tenant_id=? AND id=?)"),
        ("idempotency_find", sql::IDEMPOTENCY_FIND, "PRIMARY KEY (bucket=? AND endpoint_id=? AND key_hash=?)"),
        ("leaf_of_attempt", sql::LEAF_OF_ATTEMPT, "sqlite_autoindex_log_leaves_1 (attempt_id=?)"),
        ("leaf_of_attempt", sql::LEAF_OF_ATTEMPT, "log_entries_by_attempt (attempt_id=?)"),
        ("leaf_opening", sql::LEAF_OPENING, "PRIMARY KEY (tenant_id=? AND event_id=?)"),
        ("leaf_pending_list", sql::LEAF_PENDING_LIST, "PRIMARY KEY (log_id=?)"),
        ("entry_of_hash", sql::ENTRY_OF_HASH, "log_entries_by_hash (<expr>=? AND hash_prefix=?)"),
        ("entry_list", sql::ENTRY_LIST, "PRIMARY KEY (log_id=? AND leaf_index>?)"),
        ("attempt_traces", sql::ATTEMPT_TRACES, "PRIMARY KEY ((tenant_id,event_id,delivery_id,number,id)>(?,?,?,?,?))"),
        ("tile_read", sql::TILE_READ, "(log_id=? AND level=? AND tile_index=?)"),
        ("head_latest", sql::HEAD_LATEST, "(log_id=?)"),
        ("lane_due", sql::LANE_DUE, "USING INDEX queue_lanes (endpoint_id=? AND due_at<?)"),
        ("lane_idle", sql::LANE_IDLE, "USING COVERING INDEX queue_lanes (endpoint_id=?)"),
        ("lane_next", sql::LANE_NEXT, "USING COVERING INDEX queue_lanes (endpoint_id>?)"),
        ("lease_lapse", sql::LEASE_LAPSE, "PRIMARY KEY (is_leased=?)"),
        ("lease_next_end", sql::LEASE_NEXT_END, "PRIMARY KEY (is_leased=?)"),
        ("queue_delete", sql::QUEUE_DELETE, DELIVERY_KEY),
        ("queue_entries", sql::QUEUE_ENTRIES, "PRIMARY KEY (is_leased=?)"),
        ("queue_finish_if_leased", sql::QUEUE_FINISH_IF_LEASED, DELIVERY_KEY),
        ("queue_lease", sql::QUEUE_LEASE, DELIVERY_KEY),
        ("queue_of_event", sql::QUEUE_OF_EVENT, "PRIMARY KEY (is_leased=? AND tenant_id=? AND event_id=?)"),
        ("queue_oldest_next", sql::QUEUE_OLDEST_NEXT, "PRIMARY KEY (is_leased=? AND tenant_id>?)"),
        ("queue_release_claim", sql::QUEUE_RELEASE_CLAIM, "PRIMARY KEY (is_leased=?)"),
        ("queue_release_if_leased", sql::QUEUE_RELEASE_IF_LEASED, DELIVERY_KEY),
        ("queue_retry_if_leased", sql::QUEUE_RETRY_IF_LEASED, DELIVERY_KEY),
        ("queue_usage", sql::QUEUE_USAGE, "PRIMARY KEY (is_leased=? AND tenant_id=?)"),
        ("event_ids_queued", sql::EVENT_IDS_QUEUED, QUEUED_EVENTS),
        ("event_ids_undelivered", sql::EVENT_IDS_UNDELIVERED, QUEUED_EVENTS),
        ("event_ids_of_tenant", sql::EVENT_IDS_OF_TENANT, "(tenant_id=? AND id>? AND id<?)"),
        ("event_ids_of_endpoint", sql::EVENT_IDS_OF_ENDPOINT, EVENTS_OF_ENDPOINT),
        ("event_of_endpoint_delete", sql::EVENT_OF_ENDPOINT_DELETE, EVENT_OF_ENDPOINT),
        ("event_of_endpoint_insert", sql::EVENT_OF_ENDPOINT_INSERT, "sqlite_autoindex_events_1 (tenant_id=? AND id=?)"),
        ("replay_due", sql::REPLAY_DUE, "USING INDEX replays_running"),
        (
            "event_ids_given_up_oldest_first",
            sql::EVENT_IDS_GIVEN_UP_OLDEST_FIRST,
            "(tenant_id=? AND event_id>? AND event_id<?)",
        ),
        ("event_ids_of_endpoint_oldest_first", sql::EVENT_IDS_OF_ENDPOINT_OLDEST_FIRST, EVENTS_OF_ENDPOINT),
        ("event_ids_of_tenant_oldest_first", sql::EVENT_IDS_OF_TENANT_OLDEST_FIRST, "(tenant_id=? AND id>? AND id<?)"),
        ("event_ids_queued_oldest_first", sql::EVENT_IDS_QUEUED_OLDEST_FIRST, QUEUED_EVENTS),
        ("event_ids_undelivered_oldest_first", sql::EVENT_IDS_UNDELIVERED_OLDEST_FIRST, QUEUED_EVENTS),
        ("erasure_due", sql::ERASURE_DUE, "USING INDEX erasures_running"),
        ("erasure_list", sql::ERASURE_LIST, "erasures_by_tenant (tenant_id=? AND id<?)"),
        ("erasure_covers", sql::ERASURE_COVERS, "erasures_of_tenants (tenant_id=? AND end_event_id>?)"),
        ("erasure_events", sql::ERASURE_EVENTS, "(tenant_id=? AND id>? AND id<?)"),
        ("retention_attempt_events", sql::RETENTION_ATTEMPT_EVENTS, "(tenant_id=? AND event_id>? AND event_id<?)"),
        ("replay_list", sql::REPLAY_LIST, "replays_by_tenant (tenant_id=? AND id<?)"),
        ("spool_exists", sql::SPOOL_EXISTS, "spool_by_id (id=?)"),
        ("spool_key_find", sql::SPOOL_KEY_FIND, "spool_by_key (endpoint_id=? AND key_hash=?)"),
        ("spool_read", sql::SPOOL_READ, "PRIMARY KEY (rowid>?)"),
        ("spool_remove", sql::SPOOL_REMOVE, "PRIMARY KEY (rowid=?)"),
    ];
    for (name, text, key) in expected {
        let plan = plan(schemas.of(name), text);
        assert!(plan.iter().any(|step| step.contains(key)), "{name}: {plan:?}");
    }
}

/// Queues `count` deliveries of one lane, under a lease that ends at 100 if `is_leased`.
fn queue(connection: &Connection, is_leased: bool, count: usize) {
    for _ in 0..count {
        let row = "INSERT INTO queue VALUES (?1, zeroblob(16), randomblob(16), zeroblob(16), zeroblob(16), 100 * ?1,
            iif(?1, zeroblob(16), NULL), iif(?1, 7, NULL), 0, 0, 0)";
        connection.execute(row, [is_leased]).unwrap();
    }
}

#[test]
fn a_look_at_a_lane_costs_the_same_however_much_waits_and_is_under_way() {
    let connection = migrated().store;
    let steps = |waiting: usize, leased: usize| {
        queue(&connection, false, waiting);
        queue(&connection, true, leased);
        [
            (sql::LANE_NEXT, vec![Vec::new().into(), 0.into()]),
            (sql::LANE_DUE, vec![vec![0; 16].into(), 0.into(), 1.into()]),
        ]
        .map(|(text, parameters): (_, Vec<rusqlite::types::Value>)| {
            let mut statement = connection.prepare(text).unwrap();
            assert!(statement.exists(rusqlite::params_from_iter(parameters)).unwrap());
            statement.get_status(rusqlite::StatementStatus::VmStep)
        })
    };
    assert_eq!(steps(1, 0), steps(5_000, 5_000));
}

/// Leases that have ended are found without a look at what waits, and a lease is settled without a look at the others.
#[test]
fn a_look_at_what_is_leased_costs_the_same_however_much_waits() {
    let connection = migrated().store;
    let steps = || {
        [(sql::LEASE_LAPSE, vec![99]), (sql::LEASE_NEXT_END, vec![]), (sql::QUEUE_RELEASE_CLAIM, vec![0, 100, 8])].map(
            |(text, parameters): (_, Vec<i64>)| {
                let mut statement = connection.prepare(text).unwrap();
                let mut rows = statement.query(rusqlite::params_from_iter(parameters)).unwrap();
                while rows.next().unwrap().is_some() {}
                drop(rows);
                statement.get_status(rusqlite::StatementStatus::VmStep)
            },
        )
    };
    queue(&connection, true, 10);
    queue(&connection, false, 1);
    let few = steps();
    queue(&connection, false, 5_000);
    assert_eq!(steps(), few);
}

/// A step of a replay reads as many rows as it asks for, whatever lies in front of it and behind.
#[test]
fn a_look_for_a_step_costs_the_same_however_much_there_is() {
    let connection = migrated().store;
    let tables = [
        ("outcomes", "INSERT INTO outcomes VALUES (zeroblob(16), ?1, ?1, zeroblob(16), 'refused', 0)"),
        ("queue", "INSERT INTO queue VALUES (0, zeroblob(16), ?1, ?1, zeroblob(16), 0, NULL, NULL, 0, 0, 0)"),
        ("events", "INSERT INTO events VALUES (zeroblob(16), ?1, zeroblob(16), 0, 0, NULL, NULL, x'', x'', x'', NULL)"),
        ("events_of_endpoints", "INSERT INTO events_of_endpoints VALUES (zeroblob(16), zeroblob(16), ?1)"),
    ];
    let fill = |from: u16, to: u16| {
        for number in from..to {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            for (_, row) in tables {
                connection.execute(row, [id]).unwrap();
            }
        }
    };
    let looks = [
        sql::EVENT_IDS_GIVEN_UP_OLDEST_FIRST,
        sql::EVENT_IDS_QUEUED_OLDEST_FIRST,
        sql::EVENT_IDS_UNDELIVERED_OLDEST_FIRST,
        sql::EVENT_IDS_OF_TENANT_OLDEST_FIRST,
        sql::EVENT_IDS_OF_ENDPOINT_OLDEST_FIRST,
    ];
    let steps = |text: &str| {
        let mut statement = connection.prepare(text).unwrap();
        let mut after = [0; 16];
        after[..2].copy_from_slice(&100_u16.to_be_bytes());
        let (tenant, end, limit) = ([0_u8; 16], [0xff_u8; 16], 20);
        let all: [&dyn rusqlite::ToSql; 5] = [&tenant, &after, &end, &limit, &tenant];
        let parameters = &all[..statement.parameter_count()];
        let ids: Vec<[u8; 16]> =
            statement.query_map(parameters, |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(ids.len(), 20);
        statement.get_status(rusqlite::StatementStatus::VmStep)
    };
    fill(1, 200);
    let few = looks.map(steps);
    fill(200, 5_000);
    assert_eq!(looks.map(steps), few);
}
