//! Plots, as SVG that stands in the page.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::summary::number;
use crate::analysis::distribution::Distribution;
use crate::error::Error;
use crate::run::measured::{Measured, Second};

const SIZE: (u32, u32) = (1_000, 340);
/// Sizes of text; the drawing makes a little less of them.
const CAPTION: u32 = 20;
const LABEL: u32 = 16;
const BLUE: RGBColor = RGBColor(0x1f, 0x6f, 0xeb);
const GREEN: RGBColor = RGBColor(0x1a, 0x7f, 0x37);
const ORANGE: RGBColor = RGBColor(0xd9, 0x73, 0x00);
const VIOLET: RGBColor = RGBColor(0x82, 0x50, 0xdf);
const GREY: RGBColor = RGBColor(0x9a, 0xa1, 0xab);
/// What lies outside of the window.
const SHADE: RGBColor = RGBColor(0xf0, 0xf2, 0xf5);
const MIB: f64 = 1_048_576.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a plot. Lines of the same name share an entry of the legend.
struct Line {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Latencies by percentile. The axis is logarithmic in what lies above, so that each nine has the same room.
pub(super) fn latencies(repetitions: &[Measured]) -> Result<Option<String>, Error> {
    let lines = repetitions.iter().flat_map(|measured| {
        let durations = &measured.durations;
        let bare = measured.bare.as_ref().and_then(|bare| bare.ingest_alike().latency.as_ref());
        let bare = bare.map(|times| Line { name: "bare server, to answer", color: GREY, points: tail(times) });
        let kinds = [
            ("intended start to answer", BLUE, &durations.answer),
            ("intended start to received", GREEN, &durations.sent_to_received),
        ];
        let line = |(name, color, times): (_, _, &Option<Distribution>)| {
            Some(Line { name, color, points: tail(times.as_ref()?) })
        };
        bare.into_iter().chain(kinds.into_iter().filter_map(line))
    });
    let lines: Vec<Line> = lines.filter(|line| !line.points.is_empty()).collect();
    let Some(bounds) = Bounds::of(&lines) else { return Ok(None) };
    svg(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption("Latency, each repetition a line", ("sans-serif", CAPTION))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(
                (1.0..bounds.x.end.max(10.0)).log_scale(),
                (bounds.y.start.max(0.01)..bounds.y.end.max(0.1) * 1.2).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", LABEL))
            .x_desc("percentile")
            .y_desc("ms")
            .x_label_formatter(&|x| format!("{}", percentile(*x)))
            .y_label_formatter(&|y| milliseconds(*y))
            .draw()?;
        draw(&mut chart, lines, SeriesLabelPosition::LowerRight)
    })
    .map(Some)
}

/// Rates over time.
pub(super) fn rates(measured: &Measured) -> Result<Option<String>, Error> {
    let rate = |of: fn(&Second) -> u64| series(measured, move |second| Some(of(second) as f64));
    let mut lines = vec![Line { name: "accepted", color: BLUE, points: rate(|second| second.accepted) }];
    lines.push(Line { name: "received", color: GREEN, points: rate(|second| second.received) });
    let mut before = 0;
    let covered = measured.series.iter().map(|second| {
        let grown = second.covered.saturating_sub(before);
        before = second.covered;
        grown as f64
    });
    lines.push(Line {
        name: "covered by the log",
        color: VIOLET,
        points: (1_u32..).map(f64::from).zip(covered).collect(),
    });
    over_time("Events in each second", "events/s", measured, lines)
}

/// The backlog over time.
pub(super) fn backlog(measured: &Measured) -> Result<Option<String>, Error> {
    let points = series(measured, |second| Some(second.backlog as f64));
    let lines = vec![Line { name: "accepted and not received", color: ORANGE, points }];
    if measured.totals.lost.is_none() {
        return Ok(None);
    }
    over_time("Backlog", "events", measured, lines)
}

/// Memory over time.
pub(super) fn memory(measured: &Measured) -> Result<Option<String>, Error> {
    let memory = |of: fn(&Second) -> Option<u64>| series(measured, move |second| Some(of(second)? as f64 / MIB));
    let lines = vec![
        Line { name: "Kapsel", color: BLUE, points: memory(|second| second.resident_bytes) },
        Line { name: "PostgreSQL", color: ORANGE, points: memory(|second| second.postgres_bytes) },
    ];
    over_time("Memory", "MiB", measured, lines)
}

/// A value of each second, at its end.
fn series(measured: &Measured, of: impl Fn(&Second) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = (1_u32..).zip(&measured.series);
    points.filter_map(|(end, second)| Some((f64::from(end), of(second)?))).collect()
}

fn over_time(caption: &str, unit: &str, measured: &Measured, mut lines: Vec<Line>) -> Result<Option<String>, Error> {
    lines.retain(|line| !line.points.is_empty());
    let Some(bounds) = Bounds::of(&lines) else { return Ok(None) };
    let (low, high) = (bounds.y.start.min(0.0), bounds.y.end.max(1.0) * 1.05);
    let (begin, end) = measured.window_at_seconds;
    svg(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{caption} (shaded: outside of the window)"), ("sans-serif", CAPTION))
            .margin(12)
            .x_label_area_size(48)
            .y_label_area_size(84)
            .build_cartesian_2d(0.0..bounds.x.end.max(1.0), low..high)?;
        let shade = |from: f64, to: f64| Rectangle::new([(from, low), (to, high)], SHADE.filled());
        let last = bounds.x.end.max(1.0);
        chart.draw_series([shade(0.0, begin.min(last)), shade(end.min(last), last)])?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", LABEL))
            .x_desc("seconds")
            .y_desc(unit)
            .x_label_formatter(&|x| number(*x, 0))
            .y_label_formatter(&|y| number(*y, 0))
            .draw()?;
        draw(&mut chart, lines, SeriesLabelPosition::UpperLeft)
    })
    .map(Some)
}

type Failed = DrawingAreaErrorKind<std::io::Error>;

fn draw<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    lines: Vec<Line>,
    legend: SeriesLabelPosition,
) -> Result<(), Failed>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let mut named = Vec::new();
    for Line { name, color, points } in lines {
        let drawn = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        if !named.contains(&name) {
            named.push(name);
            drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
        }
    }
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE.mix(0.85))
        .border_style(SHADE)
        .label_font(("sans-serif", LABEL))
        .draw()
}

fn svg(plot: impl FnOnce(&Area<'_>) -> Result<(), Failed>) -> Result<String, Error> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let drawn = area.fill(&WHITE).and_then(|()| plot(&area)).and_then(|()| area.present());
        drawn.map_err(|error| Error::Plot(error.to_string()))?;
    }
    Ok(text)
}

/// Where the points lie.
struct Bounds {
    x: Range<f64>,
    y: Range<f64>,
}

impl Bounds {
    fn of(lines: &[Line]) -> Option<Self> {
        let points = || lines.iter().flat_map(|line| &line.points);
        let range =
            |of: fn(&(f64, f64)) -> f64| Some(points().map(of).reduce(f64::min)?..points().map(of).reduce(f64::max)?);
        Some(Bounds { x: range(|point| point.0)?, y: range(|point| point.1)? })
    }
}

/// A distribution as points: one in so many is longer than so many milliseconds.
fn tail(times: &Distribution) -> Vec<(f64, f64)> {
    let below_all = times.curve.iter().filter(|point| point.percentile < 100.0);
    let points = below_all.map(|point| (100.0 / (100.0 - point.percentile), (point.us as f64 / 1e3).max(0.01)));
    // The curve comes ever closer to the longest; what is rarer than one event was not measured.
    points.filter(|(one_in, _)| *one_in <= times.count as f64).collect()
}

/// The percentile above which one in so many lies.
fn percentile(one_in: f64) -> f64 {
    let percentile = 100.0 - 100.0 / one_in;
    (percentile * 1e6).round() / 1e6
}

/// A latency beside its axis. Of each decade only 1, 2 and 5 are written, so that they do not run into each other.
fn milliseconds(value: f64) -> String {
    let leading = value / 10_f64.powf((value * (1.0 + 1e-9)).log10().floor());
    if ![1.0, 2.0, 5.0].iter().any(|written| (leading - written).abs() < 1e-6) {
        return String::new();
    }
    number(value, if value < 0.1 { 2 } else { usize::from(value < 1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_written_as_such() {
        assert_eq!(percentile(1.0).to_string(), "0");
        assert_eq!(percentile(10.0).to_string(), "90");
        assert_eq!(percentile(1_000.0).to_string(), "99.9");
        assert_eq!(percentile(100_000.0).to_string(), "99.999");
    }

    #[test]
    fn an_axis_has_few_numbers() {
        let written: Vec<String> = [0.02, 0.1, 0.3, 0.5, 1.0, 2.0, 4.0, 1_000.0].map(milliseconds).to_vec();
        assert_eq!(written, ["0.02", "0.1", "", "0.5", "1", "2", "", "1,000"]);
    }

    #[test]
    fn a_tail_ends_where_events_do() {
        let times = Distribution::of((1..=1_000).map(|time| time * 1_000)).unwrap();
        let tail = tail(&times);
        assert!(tail.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        assert!(tail.last().is_some_and(|(one_in, _)| *one_in <= 1_000.0));
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(latencies(&[Measured::default()]).unwrap(), None);
        assert_eq!(memory(&Measured::default()).unwrap(), None);
    }
}
