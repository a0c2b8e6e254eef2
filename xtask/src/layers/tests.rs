//! Made-up graphs: the wanted one passes, and each kind of violation is caught.

use super::*;

fn normal(name: &str) -> Dependency {
    Dependency { name: name.to_owned(), kind: Kind::Normal, optional: false, features: Vec::new() }
}

fn dev(name: &str) -> Dependency {
    Dependency { kind: Kind::Dev, ..normal(name) }
}

fn with_features(dependency: Dependency, features: &[&str]) -> Dependency {
    Dependency { features: features.iter().map(|feature| (*feature).to_owned()).collect(), ..dependency }
}

fn node(name: &str, dependencies: Vec<Dependency>) -> Crate {
    Crate { name: name.to_owned(), dependencies, ..Crate::default() }
}

/// A graph as it should be, with every layer in it.
fn sound() -> Vec<Crate> {
    let mut store = node("kapsel-store", vec![normal("kapsel-core"), normal("tokio"), dev("test-harness")]);
    store.dependencies.push(Dependency { optional: true, ..normal("test-harness") });
    store.features.insert("contract-suite".to_owned(), vec!["dep:test-harness".to_owned()]);
    let sqlite_dev = with_features(dev("kapsel-store"), &["contract-suite"]);
    vec![
        node("kapsel-core", vec![normal("serde"), dev("proptest"), dev("tokio")]),
        node("kapsel-verification", vec![normal("sha2")]),
        store,
        node(
            "kapsel-store-sqlite",
            vec![normal("kapsel-core"), normal("kapsel-store"), sqlite_dev, normal("rusqlite")],
        ),
        node(
            "kapsel-store-postgres",
            vec![normal("kapsel-store"), normal("tokio-postgres"), dev("kapsel-store-sqlite")],
        ),
        node(
            "kapsel-delivery",
            vec![normal("kapsel-store"), with_features(normal("hyper-util"), &["client-legacy"]), normal("rustls")],
        ),
        node("kapsel-attestation", vec![normal("kapsel-store"), normal("kapsel-verification")]),
        node(
            "kapsel-api",
            vec![normal("kapsel-store"), normal("axum"), with_features(normal("hyper-util"), &["server"])],
        ),
        node("kapsel-verify", vec![normal("kapsel-verification")]),
        node("kapsel", vec![normal("kapsel-api"), normal("kapsel-delivery"), normal("kapsel-store-sqlite")]),
        node("test-harness", vec![normal("kapsel-core"), normal("hyper")]),
        node("xtask", vec![normal("cargo_metadata")]),
    ]
}

/// The sound graph with one more dependency.
fn sound_but(name: &str, dependency: Dependency) -> Vec<String> {
    let mut crates = sound();
    let this = crates.iter_mut().find(|this| this.name == name).unwrap();
    this.dependencies.push(dependency);
    check(&crates)
}

/// The sound graph with one more feature.
fn sound_but_feature(name: &str, feature: &str, member: &str) -> Vec<String> {
    let mut crates = sound();
    let this = crates.iter_mut().find(|this| this.name == name).unwrap();
    this.features.insert(feature.to_owned(), vec![member.to_owned()]);
    check(&crates)
}

#[test]
fn the_wanted_graph_passes() {
    assert_eq!(check(&sound()), Vec::<String>::new());
}

#[test]
fn every_edge_that_points_up_or_sideways_is_caught() {
    let internal = [
        ("kapsel-core", "kapsel-store"),
        ("kapsel-verification", "kapsel-core"),
        ("kapsel-store", "kapsel-store-sqlite"),
        ("kapsel-store-sqlite", "kapsel-store-postgres"),
        ("kapsel-store-postgres", "kapsel-store-sqlite"),
        ("kapsel-store-sqlite", "kapsel-delivery"),
        ("kapsel-store-postgres", "kapsel-api"),
        ("kapsel-delivery", "kapsel-store-sqlite"),
        ("kapsel-delivery", "kapsel-api"),
        ("kapsel-delivery", "kapsel-attestation"),
        ("kapsel-attestation", "kapsel-delivery"),
        ("kapsel-api", "kapsel-delivery"),
        ("kapsel-attestation", "kapsel-api"),
        ("kapsel-api", "kapsel-store-sqlite"),
        ("kapsel-api", "kapsel"),
        ("kapsel-verify", "kapsel-core"),
        ("kapsel", "kapsel-verify"),
        ("test-harness", "kapsel-delivery"),
        ("xtask", "kapsel-core"),
    ];
    for (from, to) in internal {
        for dependency in [normal(to), dev(to), Dependency { kind: Kind::Build, ..normal(to) }] {
            let is_compared = dependency.kind == Kind::Dev && (from, to) == table::COMPARED_ENGINES;
            let found = sound_but(from, dependency);
            assert_eq!(found.len(), usize::from(!is_compared), "{from} -> {to}: {found:?}");
            if is_compared {
                continue;
            }
            assert!(found[0].starts_with(&format!("{from} must not depend on {to} ")), "{found:?}");
        }
    }
}

#[test]
fn a_crate_without_a_layer_is_caught() {
    let mut crates = sound();
    crates.push(node("kapsel-common", vec![]));
    assert_eq!(check(&crates), ["kapsel-common is not in the table: decide which layer it belongs to"]);
}

#[test]
fn outside_crates_stay_with_their_owners() {
    let client = || with_features(normal("hyper-util"), &["client-legacy", "tokio"]);
    let mut edges: Vec<(&str, Dependency)> = vec![
        ("kapsel-api", client()),
        ("kapsel-store", client()),
        ("kapsel-api", with_features(normal("hyper-util"), &["full"])),
        ("kapsel-api", normal("hickory-resolver")),
        ("kapsel-attestation", normal("rustls")),
        ("kapsel-delivery", normal("rusqlite")),
        ("kapsel-delivery", normal("axum")),
        ("kapsel-store-sqlite", normal("tokio-postgres")),
        ("kapsel", normal("rusqlite")),
        ("kapsel", normal("sqlx")),
        ("kapsel-core", normal("metrics")),
        ("kapsel-store", normal("metrics")),
        ("kapsel-delivery", normal("opentelemetry")),
        ("kapsel-api", normal("metrics-exporter-prometheus")),
        ("kapsel-verification", normal("tokio")),
        ("kapsel-core", Dependency { kind: Kind::Build, ..normal("tokio") }),
        ("kapsel-core", Dependency { optional: true, ..normal("tokio") }),
    ];
    for name in ["tokio", "sqlx", "rusqlite", "tokio-postgres", "axum", "hyper", "reqwest"] {
        edges.push(("kapsel-core", normal(name)));
    }
    for name in ["rusqlite", "postgres", "tokio-postgres", "sqlx", "axum", "hyper", "reqwest"] {
        edges.push(("kapsel-store", normal(name)));
    }
    for (from, dependency) in edges {
        let message = format!("{from} must not depend on {}", dependency.name);
        let found = sound_but(from, dependency);
        assert!(found.len() == 1 && found[0].starts_with(&message), "{message}{found:?}");
    }
}

#[test]
fn tests_may_use_any_outside_crate() {
    assert_eq!(sound_but("kapsel-core", dev("hyper")), Vec::<String>::new());
    assert_eq!(sound_but("kapsel-api", dev("reqwest")), Vec::<String>::new());
}

#[test]
fn the_harness_never_reaches_the_product() {
    for name in ["kapsel", "kapsel-api", "kapsel-delivery", "kapsel-store"] {
        assert_eq!(
            sound_but(name, normal("test-harness")),
            [format!("{name} has test-harness outside of its dev-dependencies")]
        );
    }
    // Optional is good enough for the store alone, and only as a normal dependency of that one feature.
    let optional = Dependency { optional: true, ..normal("test-harness") };
    assert_eq!(sound_but("kapsel-api", optional.clone()).len(), 1);
    assert_eq!(sound_but("kapsel-store", Dependency { kind: Kind::Build, ..optional }).len(), 1);
    assert_eq!(sound_but("kapsel-verification", dev("test-harness")).len(), 1);
}

#[test]
fn only_the_contract_suite_switches_the_harness_on() {
    for member in ["dep:test-harness", "test-harness", "test-harness?/clock", "test-harness/clock"] {
        let found = sound_but_feature("kapsel-store", "testing", member);
        assert_eq!(found, ["feature testing of kapsel-store switches on test-harness"], "{member}");
    }
    let found = sound_but_feature("kapsel-store", "default", "contract-suite");
    assert_eq!(found, ["feature default of kapsel-store switches on contract-suite"]);
    let found = sound_but_feature("kapsel-store-sqlite", "default", "kapsel-store/contract-suite");
    assert_eq!(found, ["feature default of kapsel-store-sqlite switches on contract-suite"]);
}

#[test]
fn the_contract_suite_is_taken_by_tests_alone() {
    let found = sound_but("kapsel-api", with_features(normal("kapsel-store"), &["contract-suite"]));
    assert_eq!(found, ["kapsel-api takes kapsel-store with its feature contract-suite outside of tests"]);
}

#[test]
fn only_wire_names_an_engine() {
    let text = "use kapsel_core::Event;\nuse kapsel_store_sqlite::SqliteStore;\n";
    assert_eq!(check_engine_names("src/wire.rs", text), Vec::<String>::new());
    assert_eq!(
        check_engine_names("src/commands/fsck.rs", text),
        ["src/commands/fsck.rs:2: only src/wire.rs names kapsel_store_sqlite"]
    );
    assert_eq!(check_engine_names("src/main.rs", "kapsel_store_postgres::connect()").len(), 1);
}
