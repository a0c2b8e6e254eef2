//! The table at the end of the demo.

use std::fmt::Write as _;

/// One event.
pub(super) struct Row {
    pub(super) event: String,
    pub(super) provider: &'static str,
    pub(super) destination: &'static str,
    pub(super) attempts: usize,
    pub(super) status: String,
    pub(super) millis: Option<f64>,
    pub(super) byte_exact: bool,
    pub(super) signed: bool,
}

/// The rows under a heading.
pub(super) fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<30}  {:<18}  {:<11}  {:>8}  {:<9}  {:>8}  {:<5}  signature",
        "event", "from", "destination", "attempts", "status", "ms", "bytes"
    );
    for row in rows {
        let millis = row.millis.map_or("-".to_owned(), |millis| format!("{millis:.1}"));
        let _ = writeln!(
            text,
            "{:<30}  {:<18}  {:<11}  {:>8}  {:<9}  {:>8}  {:<5}  {}",
            row.event,
            row.provider,
            row.destination,
            row.attempts,
            row.status,
            millis,
            if row.byte_exact { "exact" } else { "WRONG" },
            if row.signed { "valid" } else { "INVALID" },
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_faults_stand_out() {
        let row = |millis, good| Row {
            event: "evt_01h455vb4pex5vsknk084sn02q".to_owned(),
            provider: "github",
            destination: "healthy",
            attempts: 1,
            status: "delivered".to_owned(),
            millis,
            byte_exact: good,
            signed: good,
        };
        let text = render(&[row(Some(3.25), true), row(None, false)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].find("status"), lines[1].find("delivered"));
        assert!(lines[1].contains("3.2") && lines[1].contains("exact") && lines[1].contains("valid"));
        assert!(lines[2].contains("WRONG") && lines[2].contains("INVALID"));
    }
}
