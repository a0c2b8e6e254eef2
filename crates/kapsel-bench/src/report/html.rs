//! One page that needs nothing else: the table, and plots as SVG.

use super::Report;
use super::escape::html as escaped;
use super::plot;
use super::summary::Row;
use crate::error::Error;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;color:#1c2024;background:#fff;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0 0 .5rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}dt{color:#60646c}dd{margin:0}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}\
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e4e6e9;white-space:nowrap;\
font-variant-numeric:tabular-nums}th{color:#60646c;font-weight:600}\
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}\
.warning{background:#fff4d6;border-left:4px solid #e5a50a;padding:.4rem .8rem;margin:.5rem 0}\
.how{color:#60646c;font-size:.9rem}.how dt{color:#1c2024}svg{max-width:100%;height:auto}";

/// The whole page.
pub(crate) fn page(report: &Report) -> Result<String, Error> {
    let title = format!("kapsel-bench: {}", report.name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<h1>{title}</h1>\n<dl>\n",
        title = escaped(&title)
    );
    for (name, value) in report.header() {
        page += &format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(&value));
    }
    page += "</dl>\n";
    for warning in report.warnings() {
        page += &format!("<p class=\"warning\">{}</p>\n", escaped(&warning));
    }
    let rows = report.rows();
    page += "<h2>Figures</h2>\n";
    page += &table(report, &rows);
    let latencies = plot::latencies(&report.repetitions)?;
    if let Some(latencies) = latencies {
        page += &format!("<h2>Latency by percentile</h2>\n{latencies}\n");
    }
    for (number, measured) in (1..).zip(&report.repetitions) {
        page += &format!("<h2>Repetition {number} over time</h2>\n");
        for plot in [plot::rates(measured)?, plot::backlog(measured)?, plot::memory(measured)?].into_iter().flatten() {
            page += &format!("{plot}\n");
        }
    }
    page += "<h2>How each figure is taken</h2>\n<dl class=\"how\">\n";
    for row in &rows {
        page += &format!("<dt>{}</dt><dd>{}</dd>\n", escaped(row.definition.label), escaped(row.definition.how));
    }
    page += "</dl>\n</body>\n</html>\n";
    Ok(page)
}

fn table(report: &Report, rows: &[Row]) -> String {
    let repetitions = 1..=report.repetitions.len();
    let numbers: String = repetitions.map(|number| format!("<th>#{number}</th>")).collect();
    let mut table = format!(
        "<div class=\"wide\"><table>\n<tr><th>figure</th><th>unit</th>{numbers}<th>median</th><th>min – max</th>\
         <th>bare</th><th>ratio</th></tr>\n"
    );
    for row in rows {
        let shown = |value: &Option<f64>| value.map(|value| row.shown(value)).unwrap_or_default();
        let values: String = row.values.iter().map(|value| format!("<td>{}</td>", shown(value))).collect();
        let (bare, ratio) = row.against_bare();
        table += &format!(
            "<tr><td title=\"{}\">{}</td><td>{}</td>{values}<td><b>{}</b></td><td>{}</td><td>{bare}</td><td>{ratio}</td></tr>\n",
            escaped(row.definition.how),
            escaped(row.definition.label),
            escaped(row.definition.unit),
            row.shown(row.median),
            row.spread()
        );
    }
    table + "</table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn it_has_table_and_plots_and_loads_nothing() {
        let page = page(&report()).unwrap();
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        // The latencies; rates, backlog and memory of two repetitions.
        assert_eq!(page.matches("<svg").count(), 7);
        assert!(page.contains("&lt;Fast&gt; &amp; cheap") && !page.contains("<Fast>"));
        for foreign in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
