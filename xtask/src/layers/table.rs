//! Who may use whom. This is the table of `docs/ARCHITECTURE.md` in a form that a program can read; a change here is a
//! change of the architecture and belongs into both.

use super::graph::Dependency;

/// One crate of the workspace and the crates of the workspace that it may depend on.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) may_use: &'static [&'static str],
}

/// From the bottom up. Some crates do not exist yet; their place is kept.
const RULES: &[Rule] = &[
    // Pure.
    Rule { name: "kapsel-verification", may_use: &[] },
    Rule { name: "kapsel-core", may_use: &["kapsel-verification"] },
    // The contract, and the engines that fulfil it.
    Rule { name: "kapsel-store", may_use: &["kapsel-core", "kapsel-verification"] },
    Rule { name: "kapsel-store-sqlite", may_use: &["kapsel-core", "kapsel-store", "kapsel-verification"] },
    Rule { name: "kapsel-store-postgres", may_use: &["kapsel-core", "kapsel-store", "kapsel-verification"] },
    // What uses the contract. These never call each other: they meet in the store and in `wire.rs`.
    Rule { name: "kapsel-delivery", may_use: &["kapsel-core", "kapsel-store"] },
    Rule { name: "kapsel-attestation", may_use: &["kapsel-core", "kapsel-store", "kapsel-verification"] },
    // The one edge between them: the API serves the proofs that the log makes.
    Rule { name: "kapsel-api", may_use: &["kapsel-attestation", "kapsel-core", "kapsel-store", "kapsel-verification"] },
    // Programs.
    Rule { name: "kapsel-verify", may_use: &["kapsel-verification"] },
    Rule {
        name: "kapsel",
        may_use: &[
            "kapsel-api",
            "kapsel-attestation",
            "kapsel-core",
            "kapsel-delivery",
            "kapsel-store",
            "kapsel-store-postgres",
            "kapsel-store-sqlite",
            "kapsel-verification",
        ],
    },
    // Tools.
    Rule { name: TEST_HARNESS, may_use: &["kapsel-core", "kapsel-store"] },
    Rule {
        name: SIMULATOR,
        may_use: &["kapsel-attestation", "kapsel-core", "kapsel-delivery", "kapsel-store", "kapsel-verification"],
    },
    // It looks at Kapsel from outside.
    Rule { name: BENCH, may_use: &[] },
    Rule { name: "xtask", may_use: &[] },
];

/// The benchmark tool: a program that is no part of Kapsel and speaks to it over HTTP.
pub(super) const BENCH: &str = "kapsel-bench";
/// The crate that only tests may see.
pub(super) const TEST_HARNESS: &str = "test-harness";
/// Tests that are a program: the harness is no dev-dependency there.
pub(super) const SIMULATOR: &str = "simulator";
/// The one crate that may have the harness as an optional dependency, because it hands its contract suite to engines.
pub(super) const HARNESS_OWNER: &str = "kapsel-store";
/// The one feature that may switch that dependency on.
pub(super) const HARNESS_FEATURE: &str = "contract-suite";
/// The verifier must be usable by people who do not trust Kapsel: nothing of Kapsel is in it, not even in its tests. So is
/// it with the benchmark tool, whose figures would say less if it could look inside.
pub(super) const FREE_OF_KAPSEL: &[&str] = &["kapsel-verification", "kapsel-verify", BENCH, "xtask"];
/// The one edge across, in tests only: the differential test of the first compares all engines with each other.
pub(super) const COMPARED_ENGINES: (&str, &str) = ("kapsel-store-postgres", "kapsel-store-sqlite");
/// The engines as Rust code names them.
pub(super) const ENGINES: &[&str] = &["kapsel_store_sqlite", "kapsel_store_postgres"];

/// A crate of the outside that only some of our crates may have.
pub(super) struct Reserved {
    names: &'static [&'static str],
    pub(super) owners: &'static [&'static str],
    pub(super) reason: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        names: &["tokio", "tokio-util", "async-std", "smol"],
        owners: &[
            "kapsel-store",
            "kapsel-store-sqlite",
            "kapsel-store-postgres",
            "kapsel-delivery",
            "kapsel-attestation",
            "kapsel-api",
            "kapsel",
        ],
        reason: "pure crates know no async runtime, and do no IO",
    },
    Reserved {
        names: &["rusqlite", "libsqlite3-sys"],
        owners: &["kapsel-store-sqlite"],
        reason: "only the SQLite engine names its driver",
    },
    Reserved {
        names: &["tokio-postgres", "postgres", "postgres-types", "deadpool-postgres"],
        owners: &["kapsel-store-postgres"],
        reason: "only the PostgreSQL engine names its driver",
    },
    Reserved { names: &["sqlx", "diesel", "sea-orm"], owners: &[], reason: "the engines use plain drivers" },
    Reserved {
        names: &["axum", "axum-core"],
        owners: &["kapsel-api", "kapsel"],
        reason: "HTTP answers are made at the edge",
    },
    Reserved {
        names: &["utoipa", "utoipa-axum", "utoipa-swagger-ui"],
        owners: &["kapsel-api"],
        reason: "what is documented is described at the edge; the pure crates know nothing of it",
    },
    Reserved {
        names: &["hyper"],
        owners: &["kapsel-api", "kapsel-delivery", "kapsel"],
        reason: "HTTP is spoken at the edge and by the transport",
    },
    Reserved {
        names: &[HYPER_UTIL_CLIENT, "hyper-rustls", "reqwest", "ureq", "hickory-resolver", "hickory-client"],
        owners: &["kapsel-delivery", "kapsel"],
        reason: "only delivery's transport opens sockets to destinations, behind its address guard; the program itself opens \
                 one to the collector that its operator names (src/telemetry/otlp/collector.rs)",
    },
    Reserved {
        names: &["metrics"],
        owners: &["kapsel-delivery", "kapsel-attestation", "kapsel-api", "kapsel"],
        reason: "pure crates and stores are measured from outside",
    },
    Reserved {
        names: &[
            "metrics-exporter-prometheus",
            "opentelemetry",
            "opentelemetry-http",
            "opentelemetry-otlp",
            "opentelemetry_sdk",
            "tracing-opentelemetry",
        ],
        owners: &["kapsel"],
        reason: "where metrics and traces go is the program's affair; the others have a facade and a port",
    },
    Reserved {
        names: &[
            "rustls",
            "tokio-rustls",
            "rustls-native-certs",
            "rustls-platform-verifier",
            "webpki-roots",
            "native-tls",
            "openssl",
        ],
        owners: &["kapsel-api", "kapsel-delivery", "kapsel-store-postgres", "kapsel"],
        reason: "only the server, delivery's transport and the connection to PostgreSQL speak TLS",
    },
];

/// Where a manifest inherits hyper-util from the workspace, the features of the workspace count too.
const HYPER_UTIL_CLIENT: &str = "hyper-util with a client feature";

/// The rule for a crate of the workspace, if it has one.
pub(super) fn rule_of(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// The reservation that covers this outside dependency, if there is one, and the name that it covers.
pub(super) fn reserved(dependency: &Dependency) -> Option<(&str, &'static Reserved)> {
    // hyper-util is two things: its server half is harmless.
    let is_client = |feature: &String| feature.starts_with("client") || feature == "full";
    let name = match dependency.name.as_str() {
        "hyper-util" if dependency.features.iter().any(is_client) => HYPER_UTIL_CLIENT,
        name => name,
    };
    RESERVED.iter().find(|reserved| reserved.names.contains(&name)).map(|reserved| (name, reserved))
}
