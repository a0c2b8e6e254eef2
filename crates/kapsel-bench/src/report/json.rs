//! Everything, for programs.

use serde_json::{Value, json};

use super::Report;
use super::summary::Row;

/// The whole report as JSON.
pub(crate) fn value(report: &Report) -> Value {
    json!({
        "tool": concat!("kapsel-bench ", env!("CARGO_PKG_VERSION")),
        "run": report.name,
        "date": report.date,
        "label": report.label,
        "workload": report.workload,
        "subject": report.facts,
        "machine": report.machine,
        "warnings": report.warnings(),
        "figures": report.rows().iter().map(figure).collect::<Value>(),
        "repetitions": report.repetitions,
    })
}

fn figure(row: &Row) -> Value {
    let definition = row.definition;
    json!({
        "key": definition.key,
        "label": definition.label,
        "unit": definition.unit,
        "how": definition.how,
        "values": row.values,
        "median": row.median,
        "min": row.min,
        "max": row.max,
        "bare": row.bare,
        "ratio": row.ratio,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn figures_and_evidence_are_in_it() {
        let json: Value = serde_json::from_str(&value(&report()).to_string()).unwrap();
        assert_eq!((&json["run"], &json["label"]), (&json!("made-up"), &json!("abc123")));
        assert_eq!(json["figures"][0]["median"], 1_000.0);
        assert_eq!(json["figures"][0]["ratio"], 0.5);
        assert_eq!(json["repetitions"][1]["answers"]["statuses"]["503"], 3);
        assert_eq!(json["repetitions"][0]["series"][11]["backlog"], 11);
        assert!(
            json["repetitions"][0]["durations"]["answer"]["curve"].as_array().is_some_and(|curve| curve.len() > 10)
        );
    }
}
