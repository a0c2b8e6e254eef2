//! From the figures of repetitions to one row: the median, and how far they lie apart.

use serde::Serialize;

use super::definitions::{DEFINITIONS, Definition};
use crate::run::measured::Measured;

/// One figure over all repetitions.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Its definition.
    #[serde(skip)]
    pub(crate) definition: &'static Definition,
    /// Its value in each repetition.
    pub(crate) values: Vec<Option<f64>>,
    /// The value in the middle.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
    /// The median of the bare machine.
    pub(crate) bare: Option<f64>,
    /// The median of the values, each divided by that of the bare machine right before.
    pub(crate) ratio: Option<f64>,
}

/// The rows of all figures that exist.
pub(super) fn rows(repetitions: &[Measured]) -> Vec<Row> {
    DEFINITIONS.iter().filter_map(|definition| row(definition, repetitions)).collect()
}

fn row(definition: &'static Definition, repetitions: &[Measured]) -> Option<Row> {
    let values: Vec<Option<f64>> = repetitions.iter().map(definition.value).collect();
    let known: Vec<f64> = values.iter().filter_map(|value| *value).collect();
    let bare = |measured: &Measured| definition.bare.and_then(|bare| bare(measured));
    let bares: Vec<f64> = repetitions.iter().filter_map(bare).collect();
    let ratio = |measured: &Measured| crate::rounding::per((definition.value)(measured)?, bare(measured)?);
    let ratios: Vec<f64> = repetitions.iter().filter_map(ratio).collect();
    Some(Row {
        definition,
        median: median(&known)?,
        min: known.iter().copied().reduce(f64::min)?,
        max: known.iter().copied().reduce(f64::max)?,
        values,
        bare: median(&bares),
        ratio: median(&ratios),
    })
}

/// The value in the middle; between two, their mean.
fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(lower.midpoint(upper))
}

/// A number as people read it: with a separator between thousands.
pub(super) fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, part)| (whole, Some(part)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    // What rounds to nothing has no sign.
    let sign = if text.contains(|digit| matches!(digit, '1'..='9')) { sign } else { "" };
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

impl Row {
    /// A value of this row.
    pub(super) fn shown(&self, value: f64) -> String {
        number(value, self.definition.digits)
    }

    /// How far the repetitions lie apart.
    pub(super) fn spread(&self) -> String {
        format!("{} – {}", self.shown(self.min), self.shown(self.max))
    }

    /// The figure of the bare machine and the ratio to it, if there is one.
    pub(super) fn against_bare(&self) -> (String, String) {
        let bare = self.bare.map(|bare| self.shown(bare)).unwrap_or_default();
        (bare, self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(number(1_234_567.891, 2), "1,234,567.89");
        assert_eq!(number(-1_234.0, 0), "-1,234");
        assert_eq!(number(999.9, 0), "1,000");
        assert_eq!(number(12.0, 1), "12.0");
        assert_eq!((number(-0.04, 1), number(-0.05, 2)), ("0.0".to_owned(), "-0.05".to_owned()));
    }
}
