//! The dashboard and the alerts ask for nothing that is not there.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};
use yaml_rust2::{Yaml, YamlLoader};

use super::page::Page;
use crate::postgres::Database;
use crate::program::Program;

/// The metrics that an expression of PromQL names.
fn names_in(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
    const GROUPS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    let mut names = BTreeSet::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        // Labels and ranges hold no metrics.
        let skipped = match first {
            '{' => rest.find('}'),
            '[' => rest.find(']'),
            _ => None,
        };
        if let Some(end) = skipped {
            rest = &rest[end + 1..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end.max(first.len_utf8()));
        rest = behind;
        if !first.is_ascii_alphabetic() && first != '_' || WORDS.contains(&word) {
            continue;
        }
        if GROUPS.contains(&word) {
            rest = &rest[rest.find(')').unwrap() + 1..];
        } else if !["(", "by ", "without "].iter().any(|next| rest.trim_start().starts_with(next)) {
            names.insert(word.to_owned());
        }
    }
    names
}

#[test]
fn metrics_are_found_in_expressions() {
    let expected = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    for (expression, names) in [
        ("up == 0", &["up"][..]),
        ("sum by (le, x) (rate(a_bucket{b=~\"c|d\"}[5m])) > 0.5 * max(e) and f", &["a_bucket", "e", "f"]),
        ("histogram_quantile(0.99, sum by (le)(rate(g[$__rate_interval])))", &["g"]),
        ("topk(10, h) / i{j!=\"k\"}", &["h", "i"]),
    ] {
        assert_eq!(names_in(expression), expected(names), "{expression}");
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The expressions of the alerts.
fn of_alerts() -> Vec<String> {
    let documents = YamlLoader::load_from_str(&read("ops/prometheus/alerts.yaml")).unwrap();
    let [document] = documents.as_slice() else { panic!("one document") };
    let mut expressions = Vec::new();
    let mut alerts = BTreeSet::new();
    for rule in document["groups"].as_vec().unwrap().iter().flat_map(|group| group["rules"].as_vec().unwrap()) {
        let text = |field: &Yaml| field.as_str().unwrap_or_else(|| panic!("{rule:?}")).to_owned();
        assert!(alerts.insert(text(&rule["alert"])), "{rule:?} is there twice");
        assert!(!text(&rule["annotations"]["summary"]).is_empty());
        assert!(["info", "warning", "critical"].contains(&text(&rule["labels"]["severity"]).as_str()));
        expressions.push(text(&rule["expr"]));
    }
    assert!(expressions.len() > 10);
    expressions
}

/// The expressions of the dashboard.
fn of_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("ops/grafana/kapsel.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        if let Some(behind) = query.strip_prefix("label_values(") {
            expressions.push(behind.split(',').next().unwrap().to_owned());
        }
    }
    assert!(expressions.len() > 20);
    expressions
}

/// On PostgreSQL with a spool, because only there everything is there that can be.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_dashboard_and_the_alerts_is_on_the_page() {
    let database = Database::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let url = database.url();
    let settings =
        [("DATABASE_URL", url.as_str()), ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("KAPSEL_SPOOL", "on")];
    let program = Program::start_with(folder.path(), &settings).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let event = program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "body").await.expect(200).json();
    program.wait_for_status(event["event_id"].as_str().unwrap(), "delivered").await;
    let page = Page::wait_for(&program, "a head and a look at the queue", |page| {
        page.value("kapsel_log_published_size", &[]) == Some(1.0) && page.names().contains("pending_events_total")
    })
    .await;

    let names = page.names();
    for expression in of_alerts().iter().chain(&of_dashboard()) {
        let asked = names_in(expression);
        assert!(!asked.is_empty(), "{expression}");
        for name in asked {
            assert!(names.contains(name.as_str()), "{name} of {expression:?} is not on the page:\n{}", page.text);
        }
    }
    // The pools of PostgreSQL, each under its name.
    let pools = page.label_values("store_pool_size", "pool");
    assert_eq!(pools.into_iter().collect::<Vec<_>>(), ["api", "claim", "ingest", "settle", "upkeep", "work"]);
}
