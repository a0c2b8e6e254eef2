//! The direction of dependencies, held by a check.
//!
//! `table.rs` says who may use whom; `graph.rs` is the shape that cargo's metadata is brought into; this file compares
//! the two. [`check`] is a pure function, so that a made-up graph can show each violation being caught.

mod graph;
mod table;

use crate::error::Error;
use crate::workspace::Workspace;
use graph::{Crate, Dependency, Kind};
use table::Rule;

/// Reads the graph and the sources, prints the result.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let crates = graph::read(workspace)?;
    let mut violations = check(&crates);
    for path in workspace.files()?.iter().filter(|path| path.starts_with("src/") && path.ends_with(".rs")) {
        if let Some(text) = workspace.text(path)? {
            violations.extend(check_engine_names(path, &text));
        }
    }
    if violations.is_empty() {
        println!("{} crates, every edge points down", crates.len());
        return Ok(());
    }
    let list = violations.iter().map(|violation| format!("  {violation}")).collect::<Vec<_>>().join("\n");
    Err(Error::Found(format!("the layers are broken (the table is xtask/src/layers/table.rs):\n{list}")))
}

/// Every violation of the table, as sentences.
fn check(crates: &[Crate]) -> Vec<String> {
    let mut violations = Vec::new();
    for this in crates {
        let Some(rule) = table::rule_of(&this.name) else {
            violations.push(format!("{} is not in the table: decide which layer it belongs to", this.name));
            continue;
        };
        for dependency in &this.dependencies {
            let internal = crates.iter().any(|other| other.name == dependency.name);
            let violation = if dependency.name == table::TEST_HARNESS {
                check_harness(this, dependency)
            } else if internal {
                check_internal(rule, dependency)
            } else {
                check_external(rule, dependency)
            };
            violations.extend(violation);
        }
        violations.extend(check_harness_features(this));
    }
    violations
}

/// An edge inside the workspace. Dev-dependencies obey the same table: a test that needs an upper layer belongs there.
fn check_internal(rule: &Rule, dependency: &Dependency) -> Option<String> {
    let is_compared = dependency.kind == Kind::Dev && (rule.name, dependency.name.as_str()) == table::COMPARED_ENGINES;
    if !is_compared && !rule.may_use.contains(&dependency.name.as_str()) {
        return Some(format!("{} must not depend on {} ({})", rule.name, dependency.name, dependency.kind.words()));
    }
    let takes_suite = dependency.features.iter().any(|feature| feature == table::HARNESS_FEATURE);
    if takes_suite && dependency.kind != Kind::Dev {
        let feature = table::HARNESS_FEATURE;
        return Some(format!("{} takes {} with its feature {feature} outside of tests", rule.name, dependency.name));
    }
    None
}

/// The test harness may stand in any test but those of a crate that has to stay free of all of Kapsel.
fn check_harness(this: &Crate, dependency: &Dependency) -> Option<String> {
    let harness = table::TEST_HARNESS;
    if table::FREE_OF_KAPSEL.contains(&this.name.as_str()) {
        return Some(format!("{} must not depend on {harness}, not even in tests", this.name));
    }
    let is_dev = dependency.kind == Kind::Dev;
    let is_suite = this.name == table::HARNESS_OWNER && dependency.kind == Kind::Normal && dependency.optional;
    let is_test = this.name == table::SIMULATOR;
    (!is_dev && !is_suite && !is_test).then(|| format!("{} has {harness} outside of its dev-dependencies", this.name))
}

/// The optional harness of the store comes in through its one feature, and no other feature brings that one along.
fn check_harness_features(this: &Crate) -> Vec<String> {
    let mut violations = Vec::new();
    for (feature, members) in &this.features {
        let brings_harness = members.iter().any(|member| {
            let name = member.trim_start_matches("dep:");
            name.split(['/', '?']).next() == Some(table::TEST_HARNESS)
        });
        if brings_harness && !(this.name == table::HARNESS_OWNER && feature == table::HARNESS_FEATURE) {
            violations.push(format!("feature {feature} of {} switches on {}", this.name, table::TEST_HARNESS));
        }
        // As a member it is `contract-suite`, or `kapsel-store/contract-suite` in another crate.
        if members.iter().any(|member| member.rsplit('/').next() == Some(table::HARNESS_FEATURE)) {
            violations.push(format!("feature {feature} of {} switches on {}", this.name, table::HARNESS_FEATURE));
        }
    }
    violations
}

/// An edge to a crate of the outside. Tests may use what they like, and so may tools that are no part of Kapsel.
fn check_external(rule: &Rule, dependency: &Dependency) -> Option<String> {
    if dependency.kind == Kind::Dev || [table::TEST_HARNESS, table::SIMULATOR, table::BENCH].contains(&rule.name) {
        return None;
    }
    let (name, reserved) = table::reserved(dependency)?;
    (!reserved.owners.contains(&rule.name))
        .then(|| format!("{} must not depend on {name}: {}", rule.name, reserved.reason))
}

/// The program knows its engine in `src/wire.rs` and `src/wire` alone, so that a new engine is one new line there.
fn check_engine_names(path: &str, text: &str) -> Vec<String> {
    if !path.starts_with("src/") || path == "src/wire.rs" || path.starts_with("src/wire/") {
        return Vec::new();
    }
    let named = |line: &str| table::ENGINES.iter().copied().find(|engine| line.contains(engine));
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            named(line).map(|engine| format!("{path}:{}: only src/wire.rs names {engine}", index + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests;
