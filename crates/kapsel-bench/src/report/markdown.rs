//! A summary of several runs, in Markdown.

use super::Report;

/// A heading and a table for each run.
pub(crate) fn text(reports: &[Report]) -> String {
    let mut text = String::from("# Figures\n");
    if let Some(report) = reports.first() {
        text += "\nMedian of the repetitions, and how far they lie apart. The ratio compares with what the bare machine could do \
                 right before.\n\n";
        for (name, value) in report.header().iter().filter(|(name, _)| !matches!(*name, "run" | "load" | "settings")) {
            text += &format!("- {name}: {}\n", cell(value));
        }
    }
    for report in reports {
        text += &format!(
            "\n## {}\n\n{}; {} repetitions.\n\n",
            report.name,
            report.workload.words(),
            report.repetitions.len()
        );
        text += "| figure | unit | median | min – max | bare | ratio |\n|---|---|---:|---:|---:|---:|\n";
        for row in report.rows() {
            let definition = row.definition;
            let (bare, ratio) = row.against_bare();
            let (median, spread) = (row.shown(row.median), row.spread());
            text +=
                &format!("| {} | {} | {median} | {spread} | {bare} | {ratio} |\n", definition.label, definition.unit);
        }
        let warnings = report.warnings();
        if !warnings.is_empty() {
            text.push('\n');
        }
        for warning in warnings {
            text += &format!("- **{}**\n", cell(&warning));
        }
    }
    text
}

/// Text of others must not become markup.
fn cell(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn each_run_has_its_table() {
        let text = text(&[report()]);
        assert!(text.contains("\n## made-up\n"), "{text}");
        assert!(text.contains("| accepted | events/s | 1,000 | 1,000 – 1,000 | 2,000 | 0.50 |\n"), "{text}");
        assert!(text.contains("&lt;Fast> & cheap"), "{text}");
    }
}
