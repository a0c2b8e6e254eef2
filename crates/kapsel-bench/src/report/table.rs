//! The table on stdout.

use super::Report;

/// More repetitions than this have no columns of their own; the page and the JSON have them.
const COLUMNS_MAX: usize = 5;

/// The whole text.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    for (name, value) in report.header() {
        text += &format!("{name:<9}{value}\n");
    }
    let repetitions = report.repetitions.len();
    let has_columns = (2..=COLUMNS_MAX).contains(&repetitions);
    let mut head = vec![String::new(), "unit".to_owned()];
    if has_columns {
        head.extend((1..=repetitions).map(|number| format!("#{number}")));
    }
    head.push("median".to_owned());
    if repetitions > 1 {
        head.push("min – max".to_owned());
    }
    head.extend(["bare".to_owned(), "ratio".to_owned()]);
    let mut lines = vec![head];
    for row in report.rows() {
        let mut line = vec![row.definition.label.to_owned(), row.definition.unit.to_owned()];
        if has_columns {
            let shown = |value: &Option<f64>| value.map(|value| row.shown(value)).unwrap_or_default();
            line.extend(row.values.iter().map(shown));
        }
        line.push(row.shown(row.median));
        if repetitions > 1 {
            line.push(row.spread());
        }
        let (bare, ratio) = row.against_bare();
        line.extend([bare, ratio]);
        lines.push(line);
    }
    text.push('\n');
    text += &aligned(&lines);
    for warning in report.warnings() {
        text += &format!("\n! {warning}");
    }
    text
}

/// Two columns of words, then numbers at the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let length = |text: &str| text.chars().count();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| length(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn columns_are_aligned() {
        let lines = [["", "unit", "median"], ["accepted", "events/s", "1,000"]];
        let lines = lines.map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(aligned(&lines), "          unit      median\naccepted  events/s   1,000\n");
    }

    #[test]
    fn everything_stands_in_it() {
        let text = text(&report());
        for part in ["load     closed loop", "accepted  ", "1,000", "0.50", "! repetition 2: 3 × 503; the first: busy"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
