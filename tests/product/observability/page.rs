//! A page of metrics, read as Prometheus does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::Method;

use crate::program::{PATIENCE, Program};

/// One scrape.
#[derive(Debug)]
pub struct Page {
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
    pub text: String,
}

impl Page {
    pub async fn of(program: &Program) -> Page {
        let answer = program.manage(Method::GET, "/metrics", None).await.expect(200);
        Page::parse(String::from_utf8(answer.body.to_vec()).unwrap())
    }

    /// Scrapes until the page shows something. The figures of the queue and of the log lag behind by seconds.
    pub async fn wait_for(program: &Program, what: &str, mut is_shown: impl FnMut(&Page) -> bool) -> Page {
        let poll = async {
            loop {
                let page = Page::of(program).await;
                if is_shown(&page) {
                    return page;
                }
                tokio::time::sleep(Duration::from_millis(50)).await; // paced: polling an HTTP API
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("not shown: {what}"))
    }

    fn parse(text: String) -> Page {
        let mut samples = Vec::new();
        let mut described = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                assert!(matches!(words.next(), Some("HELP" | "TYPE")), "{line}");
                described.insert(words.next().unwrap().to_owned());
                assert!(words.next().is_some_and(|rest| !rest.is_empty()), "{line}");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (name, labels) = match series.split_once('{') {
                None => (series, BTreeMap::new()),
                Some((name, labels)) => (name, labels_of(labels.strip_suffix('}').unwrap())),
            };
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let is_described = described.contains(name) || family.is_some_and(|family| described.contains(family));
            assert!(is_described, "{name} has no help");
            samples.push((name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}"))));
        }
        Page { samples, text }
    }

    /// All names of series.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|(name, ..)| name.as_str()).collect()
    }

    /// The sum over all series of a name that have these labels; `None` if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has_all = |found: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| found.get(*label).is_some_and(|found| found == value))
        };
        let fitting = self.samples.iter().filter(|(found, of, _)| found == name && has_all(of));
        fitting.map(|(.., value)| *value).reduce(|sum, value| sum + value)
    }

    /// The values of a label of a name.
    pub fn label_values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let series = self.samples.iter().filter(|(found, ..)| found == name);
        series.filter_map(|(_, labels, _)| labels.get(label).map(String::as_str)).collect()
    }

    /// The value of each series of a name.
    pub fn series(&self, name: &str) -> BTreeMap<String, f64> {
        let series = self.samples.iter().filter(|(found, ..)| found == name);
        series.map(|(_, labels, value)| (format!("{labels:?}"), *value)).collect()
    }
}

/// No value of ours has a comma or a quotation mark in it.
fn labels_of(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (label, value) = pair.split_once('=').unwrap_or_else(|| panic!("{text}"));
            (label.to_owned(), value.trim_matches('"').to_owned())
        })
        .collect()
}
