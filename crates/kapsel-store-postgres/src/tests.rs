//! Tests of all statements against the migrated schema: their types, their plans, and whose rows they touch.

use std::collections::BTreeSet;
use std::sync::Arc;

use kapsel_core::{Clock as _, SystemEntropy};
use test_harness::TestClock;
use test_harness::postgres::{fresh_database_name, shared};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

use crate::migrate::{MIGRATIONS, migrate};
use crate::options::PostgresOptions;
use crate::session::Session;
use crate::statements::{ALL, Scope};
use crate::store::PostgresStore;

/// Tables whose rows belong to tenants.
const TENANT_TABLES: [&str; 13] = [
    "endpoints",
    "events",
    "event_bodies",
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

/// A connection to a database with the schema in it.
async fn migrated() -> Client {
    let name = fresh_database_name();
    let database = name.clone();
    tokio::task::spawn_blocking(move || shared().create_database(&database)).await.unwrap();
    let options =
        PostgresOptions { connections_max: 3, ..PostgresOptions::new(shared().url(&name), test_harness::sealer()) };
    let now = TestClock::new().now();
    PostgresStore::open(&options, Arc::new(SystemEntropy), now).await.unwrap().close().await;
    let (client, connection) = tokio_postgres::connect(&shared().url(&name), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Wherever an older program left off.
#[tokio::test]
async fn every_earlier_schema_is_brought_up_to_date() {
    for done in 1..MIGRATIONS.len() {
        let name = fresh_database_name();
        let database = name.clone();
        tokio::task::spawn_blocking(move || shared().create_database(&database)).await.unwrap();
        let url = shared().url(&name);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let session = Session::new(client, None);
        let user = session.text("SELECT current_user").await.unwrap().unwrap();
        migrate(&session, &user, &MIGRATIONS[..done]).await.unwrap();
        session.run("UPDATE pulse SET beats = 7").await.unwrap();
        migrate(&session, &user, MIGRATIONS).await.unwrap();
        let known = session.text("SELECT max(version) FROM schema_migrations").await.unwrap();
        assert_eq!(known, Some(MIGRATIONS.len().to_string()));
        let beats = session.text("SELECT beats FROM pulse").await.unwrap();
        assert_eq!(beats.as_deref(), Some("7"), "what was there stays");
    }
}

#[test]
fn every_file_is_registered_under_its_name() {
    let registered: BTreeSet<_> = ALL.iter().map(|statement| format!("{}.sql", statement.name)).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let files: BTreeSet<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(registered, files);
    for statement in ALL {
        assert!(statement.sql.starts_with(&format!("-- {}\n", statement.name)), "{}", statement.name);
    }
}

/// What both engines do under one name is told apart where it differs: the comment stands below the name.
#[test]
fn files_that_only_one_engine_has_say_why() {
    let theirs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../kapsel-store-sqlite/sql");
    let theirs: BTreeSet<_> =
        theirs.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let shared = ALL.iter().filter(|statement| theirs.contains(&format!("{}.sql", statement.name))).count();
    assert!(shared > 25, "{shared} names in common");
}

#[tokio::test]
async fn every_statement_has_the_types_that_the_code_gives_it() {
    let client = migrated().await;
    for statement in ALL.iter().filter(|statement| statement.name != "migration_table") {
        // Without a word about types: what the server makes of it from the schema alone.
        let inferred =
            client.prepare(statement.sql).await.unwrap_or_else(|error| panic!("{}: {error:?}", statement.name));
        assert_eq!(inferred.params(), statement.parameters, "parameters of {}", statement.name);
        let columns: Vec<Type> = inferred.columns().iter().map(|column| column.type_().clone()).collect();
        assert_eq!(columns, statement.columns, "columns of {}", statement.name);
        client.prepare_typed(statement.sql, statement.parameters).await.unwrap();
    }
}

/// The words of a statement, without comments, in lower case.
fn words(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let code = code.join(" ").to_lowercase();
    code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.' || c == '$' || c == '='))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The tables of tenants that a statement touches, each with the name it goes by.
fn tenant_tables(words: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let follows = place > 0 && ["from", "join", "update", "into"].contains(&words[place - 1].as_str());
        if !follows || !TENANT_TABLES.contains(&word.as_str()) {
            continue;
        }
        let next = words.get(place + 1).map_or("", String::as_str);
        let alias = match next {
            "as" => words.get(place + 2).map_or("", String::as_str),
            "where" | "set" | "left" | "join" | "on" | "order" | "values" | "select" | "" => word,
            next if next.len() == 1 => next,
            _ => word,
        };
        found.push((word.clone(), alias.to_owned()));
    }
    found
}

/// Whether the statement asks for one tenant in the table that goes by `alias`: a condition in a query, the first value
/// of an insert.
fn asks_for_the_tenant(words: &[String], alias: &str, table: &str) -> bool {
    let condition = words.windows(3).any(|three| {
        let is_name = three[0] == format!("{alias}.tenant_id") || (alias == table && three[0] == "tenant_id");
        is_name && three[1] == "=" && three[2] == "$1"
    });
    let insert = words.windows(3).any(|three| three[0] == "into" && three[1] == table);
    let is_first_value = words.windows(2).any(|two| two[0] == "values" && two[1] == "$1");
    let place = |name: &str| words.iter().position(|word| word == name);
    let is_first_column = place("tenant_id").is_some_and(|first| place("id").is_none_or(|id| first < id));
    condition || (insert && is_first_value && is_first_column)
}

#[test]
fn database_queries_enforce_tenant_id_filtering() {
    let mut looked_at = 0;
    for statement in ALL.iter().filter(|statement| statement.scope == Scope::Tenant) {
        let words = words(statement.sql);
        let tables = tenant_tables(&words);
        assert!(!tables.is_empty(), "{} touches no table of a tenant", statement.name);
        for (table, alias) in tables {
            assert!(asks_for_the_tenant(&words, &alias, &table), "{} reads {table} of everybody", statement.name);
            looked_at += 1;
        }
    }
    assert!(looked_at > 15, "{looked_at}");
}

#[test]
fn a_table_without_its_tenant_is_noticed() {
    for bad in [
        "SELECT id FROM events WHERE id = $2",
        "SELECT q.id FROM queue q JOIN endpoints e ON e.id = q.endpoint_id WHERE q.tenant_id = $1",
        "DELETE FROM outcomes WHERE event_id = $2 AND tenant_id = $3",
        "INSERT INTO queue (event_id, tenant_id) VALUES ($1, $2)",
    ] {
        let words = words(bad);
        let all = tenant_tables(&words).iter().all(|(table, alias)| asks_for_the_tenant(&words, alias, table));
        assert!(!all || bad.starts_with("INSERT"), "{bad}");
        assert!(!tenant_tables(&words).is_empty(), "{bad}");
    }
}

/// What serves the API is registered as such, so that the tests above see it.
#[test]
fn modules_that_serve_the_api_use_statements_of_a_tenant() {
    let allowed_for_everybody = [
        "API_KEY_FIND",
        "ENDPOINT_CHANGES",
        "ERASURE_COVERS",
        "ERASURE_DUE",
        "ERASURE_FIND",
        "ERASURE_LIST_ALL",
        "PULSE_BEAT",
        "REPLAY_DUE",
        "TENANT_GET",
    ];
    let modules = [
        include_str!("admin.rs"),
        include_str!("api_keys.rs"),
        include_str!("erasures.rs"),
        include_str!("events.rs"),
        include_str!("replay_step.rs"),
        include_str!("replays.rs"),
        include_str!("replies.rs"),
        include_str!("status.rs"),
    ];
    let used = modules.iter().flat_map(|text| text.split("sql::").skip(1));
    let used: BTreeSet<_> =
        used.filter_map(|rest| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next()).collect();
    assert!(used.len() > 10, "{used:?}");
    for constant in used.iter().filter(|constant| !constant.is_empty() && !allowed_for_everybody.contains(constant)) {
        let name = constant.to_lowercase();
        let registered = ALL.iter().find(|statement| statement.name == name);
        assert!(registered.is_some_and(|statement| statement.scope == Scope::Tenant), "{constant} is used for the API");
    }
}

/// The plan that a statement gets under the settings of the engine's connections, whatever its parameters. The ones given
/// leave every partition in it: the third id of a list is its end.
async fn plan(client: &Client, name: &str, sql: &str, parameters: &[Type]) -> String {
    let types: Vec<_> = parameters.iter().map(Type::name).collect();
    let list = if types.is_empty() { String::new() } else { format!("({})", types.join(", ")) };
    let value = |(place, type_): (usize, &Type)| match *type_ {
        Type::UUID if place == 2 => format!("'{}'", uuid::Uuid::max()),
        Type::UUID => format!("'{}'", uuid::Uuid::nil()),
        Type::INT8 => i64::MAX.to_string(),
        _ => "NULL".to_owned(),
    };
    let values: Vec<_> = parameters.iter().enumerate().map(value).collect();
    let arguments = if types.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    client.batch_execute(&format!("PREPARE p_{name}{list} AS {sql}")).await.unwrap();
    let rows = client.query(&format!("EXPLAIN EXECUTE p_{name}{arguments}"), &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>().join("\n")
}

/// The scans of a plan that no condition on their index bounds.
fn whole_index_scans(plan: &str) -> Vec<&str> {
    let lines: Vec<&str> = plan.lines().collect();
    let is_node = |line: &&&str| line.contains("(cost=");
    let scans = lines.iter().enumerate().filter(|(_, line)| line.contains("Index Scan") || line.contains("Index Only"));
    let unbounded = scans.filter(|(place, _)| {
        let mut details = lines[place + 1..].iter().take_while(|line| !is_node(line));
        !details.any(|line| line.contains("Index Cond"))
    });
    unbounded.map(|(_, line)| line.trim()).collect()
}

#[tokio::test]
async fn no_statement_looks_at_all_rows_of_a_large_table() {
    let client = migrated().await;
    for setting in crate::connector::PLANNER_SETTINGS {
        client.batch_execute(setting).await.unwrap();
    }
    no_statement_reads_a_table_or_an_index_whole(&client).await;
    // What it is like when tables have been empty for a while: the planner knows that they are, and takes anything for
    // cheap.
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    client.batch_execute("DEALLOCATE ALL").await.unwrap();
    no_statement_reads_a_table_or_an_index_whole(&client).await;
}

async fn no_statement_reads_a_table_or_an_index_whole(client: &Client) {
    // The first looks at every queued row when a process starts; the others read tables of a few rows, or of what was
    // settled within the last second.
    let exempt = ["queue_release_all", "partition_list", "instance_forget", "leaf_pending_of_hash"];
    let mut looked_at = 0;
    for statement in ALL.iter().filter(|statement| !exempt.contains(&statement.name)) {
        if statement.name.starts_with("migration_") {
            continue;
        }
        let plan = plan(client, statement.name, statement.sql, statement.parameters).await;
        assert!(!plan.contains("Seq Scan"), "{}:\n{plan}", statement.name);
        // An index that is read from end to end is as long as its table. Planned while a table is empty, that looks cheap,
        // and a plan is kept however long the table becomes.
        for scan in whole_index_scans(&plan) {
            // These hold the deleted endpoints, the running jobs and the circuits that are probed alone, and that is what
            // is looked for.
            let is_meant = scan.contains("endpoints_deleted")
                || scan.contains("replays_running")
                || scan.contains("erasures_running")
                || scan.contains("circuits_probed");
            assert!(is_meant, "{} reads a whole index:\n{plan}", statement.name);
        }
        // Each row of a batch compared with each of a table is what a join comes to that was turned round: the table read
        // by a part of its key, and the batch looked through for each of its rows. Only event_insert compares so, among the
        // few of a batch that did not get their key.
        let is_by_batch = statement.sql.contains("unnest(") && statement.name != "event_insert";
        assert!(!(is_by_batch && plan.contains("Join Filter")), "{}:\n{plan}", statement.name);
        for method in ["Hash Join", "Merge Join", "Hash Semi", "Hash Right", "Hash Left", "Hash Anti"] {
            assert!(!plan.contains(method), "{}:\n{plan}", statement.name);
        }
        looked_at += 1;
    }
    assert!(looked_at > 35, "{looked_at}");
}

/// How many pages of the database a statement looks at, under the settings of the engine's connections.
async fn pages(client: &Client, name: &str, arguments: &str) -> u64 {
    let statement = ALL.iter().find(|statement| statement.name == name).unwrap();
    let types: Vec<_> = statement.parameters.iter().map(Type::name).collect();
    // Arrays are called by the names of their elements with an underscore in front.
    client.batch_execute(&format!("PREPARE c_{name}({}) AS {}", types.join(", "), statement.sql)).await.unwrap();
    client.batch_execute("BEGIN").await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS) EXECUTE c_{name}({arguments})");
    let rows = client.query(&explain, &[]).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    let plan = rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>().join("\n");
    // The first line about buffers is that of the whole statement.
    let buffers = plan.lines().find_map(|line| line.trim().strip_prefix("Buffers: shared ")).expect("it says so");
    let counts = buffers.split([' ', '=']).filter_map(|word| word.parse::<u64>().ok());
    counts.sum()
}

/// A row that is changed by its key costs what it costs alone, however many rows of the same tenant, endpoint or log lie
/// behind it.
#[tokio::test]
async fn a_change_by_key_looks_at_a_handful_of_pages() {
    let client = migrated().await;
    for setting in crate::connector::PLANNER_SETTINGS {
        client.batch_execute(setting).await.unwrap();
    }
    let id = |number: &str| format!("('00000000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid");
    let (each, first, fresh) = (id("n"), id("1"), id("99999"));
    let nil = "'00000000-0000-0000-0000-000000000000'::uuid";
    for fill in [
        format!(
            "INSERT INTO queue (tenant_id, event_id, delivery_id, endpoint_id, due_at, lease_owner, lease_token,
                is_leased, attempts_total, attempts_made, size_bytes)
             SELECT {nil}, {each}, {each}, {nil}, 10, {nil}, 7, true, 0, 0, 0 FROM generate_series(1, 20000) n"
        ),
        format!(
            "INSERT INTO idempotency_keys (endpoint_id, key_hash, bucket, event_id, body_sha256, expires_at, is_guard)
             SELECT {nil}, decode(lpad(to_hex(n), 64, '0'), 'hex'), 1, {nil}, '', 10, false
             FROM generate_series(1, 20000) n"
        ),
        format!(
            "INSERT INTO log_pending (log_id, attempt_id, tenant_id, hash)
             SELECT {nil}, {each}, {nil}, '' FROM generate_series(1, 20000) n"
        ),
    ] {
        client.batch_execute(&fill).await.unwrap();
    }
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let key = "ARRAY[decode(lpad('1', 64, '0'), 'hex')]";
    let attempt = format!(
        "ARRAY[{nil}], ARRAY[{first}], ARRAY[{first}], ARRAY[{nil}], ARRAY[7::bigint], ARRAY[{fresh}], ARRAY[1],
         ARRAY['u'], ARRAY[1::bigint], ARRAY[1::bigint], ARRAY['dns'], ARRAY[''], ARRAY[NULL::integer],
         ARRAY[NULL::bytea], ARRAY[NULL::bytea], ARRAY[NULL::boolean], ARRAY[''::bytea], ARRAY[{nil}],
         ARRAY[''::bytea], ARRAY[''::bytea]"
    );
    let event = format!(
        "ARRAY[{nil}], ARRAY[{fresh}], ARRAY[{nil}], ARRAY[1::bigint], ARRAY[0::bigint], ARRAY[NULL::text],
         ARRAY[NULL::bytea], ARRAY[''::bytea], ARRAY[''::bytea], ARRAY[''::bytea], ARRAY[{fresh}], ARRAY[9::bigint],
         ARRAY[{nil}], ARRAY[7::bigint]"
    );
    for (name, arguments) in [
        ("queue_release_if_leased", format!("ARRAY[{nil}], ARRAY[{first}], ARRAY[{first}], ARRAY[7::bigint], 5")),
        ("lease_lapse", "0, 10, 1".to_owned()),
        ("idempotency_delete", format!("ARRAY[{nil}], {key}, ARRAY[1::bigint], 20")),
        ("idempotency_give_back", format!("ARRAY[{nil}], ARRAY[{nil}], {key}, 0")),
        ("leaf_pending_delete", format!("{nil}, ARRAY[{first}]")),
        ("delivery_finish_if_leased", attempt.clone()),
        ("delivery_settle_if_leased", format!("{attempt}, ARRAY[9::bigint], ARRAY[NULL::text], 1")),
        (
            "event_insert_fresh_keyed",
            format!(
                "{event}, ARRAY[{fresh}], ARRAY[{nil}], ARRAY[decode(lpad('0', 64, '0'), 'hex')], ARRAY[1::bigint],
                 ARRAY[''::bytea], ARRAY[9::bigint], 5, 0, 8"
            ),
        ),
        ("event_insert_fresh", format!("{event}, 5")),
    ] {
        let pages = pages(&client, name, &arguments).await;
        assert!(pages < 150, "{name} looks at {pages} pages");
    }
}

#[tokio::test]
async fn lists_are_read_in_the_order_of_an_index() {
    let client = migrated().await;
    for setting in crate::connector::PLANNER_SETTINGS {
        client.batch_execute(setting).await.unwrap();
    }
    let lists = [
        "endpoint_list",
        "endpoint_changes",
        "event_ids_of_tenant",
        "event_ids_of_endpoint",
        "event_ids_queued",
        "event_ids_given_up",
        "idempotency_bucket_slice",
        "lane_scan",
        "api_key_list",
        "tenant_changes",
        "tenant_list",
        "replay_due",
        "event_ids_given_up_oldest_first",
        "event_ids_of_endpoint_oldest_first",
        "event_ids_of_tenant_oldest_first",
        "event_ids_queued_oldest_first",
        "replay_list",
        "erasure_due",
        "erasure_list",
        "erasure_list_all",
    ];
    for name in lists {
        let statement = ALL.iter().find(|statement| statement.name == name).unwrap();
        let plan = plan(&client, name, statement.sql, statement.parameters).await;
        let sorts = plan.lines().filter(|line| line.contains("Sort  (cost"));
        assert_eq!(sorts.count(), 0, "{name}:\n{plan}");
        assert!(plan.contains("Limit") && plan.contains("Index"), "{name}:\n{plan}");
    }
}
