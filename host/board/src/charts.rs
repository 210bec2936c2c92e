//! Which pictures the curves of a run make, and what of them is sent to the page.

use std::collections::BTreeMap;

use lossmith_run::{Curves, Direction, Point, RowKind};
use serde::Serialize;

use crate::marks::Mark;
use crate::text::shown;
use crate::thin::thin;

/// Points of a curve that are sent at once.
pub(crate) const POINTS: usize = 1600;
/// Curves in a picture; nobody could tell more apart.
const CURVES: usize = 24;

/// What a page draws.
#[derive(Debug, Serialize)]
pub(crate) struct Drawing {
    pub(crate) charts: Vec<Chart>,
    /// Steps at which epochs were complete, and these epochs: for an axis of epochs.
    pub(crate) epochs: Vec<(u64, u64)>,
    pub(crate) marks: Vec<Mark>,
}

/// One picture.
#[derive(Debug, Serialize)]
pub(crate) struct Chart {
    /// By which the page asks for a part of it.
    id: String,
    title: String,
    /// Which values are better, in words; empty where none are.
    better: String,
    /// How many curves there were too many.
    left_out: usize,
    series: Vec<Series>,
}

/// One curve.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) label: String,
    pub(crate) steps: Vec<u64>,
    /// Null where a number is not finite.
    pub(crate) values: Vec<Option<f64>>,
    /// The ends of an interval around each; empty where there is none.
    pub(crate) low: Vec<Option<f64>>,
    pub(crate) high: Vec<Option<f64>>,
    /// Whether these are all points that there are.
    pub(crate) whole: bool,
}

/// What part of the curves is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Range {
    pub(crate) const ALL: Self = Self { from: 0, to: u64::MAX };
}

/// Where a curve belongs: the order of the picture, its title, and the name of the curve in it.
pub(crate) type Place = (u8, String, String);

/// The curves of each picture with their names, by the order and the title of the picture.
type Groups<'a> = BTreeMap<(u8, String), Vec<(String, &'a [Point])>>;

/// The pictures of a run.
pub(crate) fn drawing(curves: &Curves, marks: Vec<Mark>) -> Drawing {
    let charts = groups(curves).into_iter().map(|(at, curves)| chart(at, &curves, Range::ALL)).collect();
    Drawing { charts, epochs: epochs(curves), marks }
}

/// One of the pictures, with all points that it has in a range if these are few enough.
pub(crate) fn part(curves: &Curves, id: &str, range: Range) -> Option<Chart> {
    groups(curves).into_iter().map(|(at, curves)| chart(at, &curves, range)).find(|chart| chart.id == id)
}

fn groups(curves: &Curves) -> Groups<'_> {
    let mut groups = Groups::new();
    for (kind, name, points) in curves.iter() {
        // What steps have is not drawn a second time as a mean over the epoch.
        if kind == RowKind::Epoch && !curves.get(RowKind::Step, name).is_empty() {
            continue;
        }
        if let Some((order, title, label)) = place(kind, name) {
            groups.entry((order, title)).or_default().push((label, points));
        }
    }
    groups
}

fn chart((order, title): (u8, String), curves: &[(String, &[Point])], range: Range) -> Chart {
    let metric = curves.first().map_or("", |(label, _)| label);
    let series = curves.iter().map(|(label, points)| Series::of(label, points, range)).collect();
    Chart::new(format!("{order}-{title}"), &title, metric, series)
}

impl Chart {
    /// Of some curves, of which no more are kept than can be told apart. `metric` says which values are better.
    pub(crate) fn new(id: String, title: &str, metric: &str, mut series: Vec<Series>) -> Self {
        let better = match Direction::of(metric) {
            Some(direction @ (Direction::Higher | Direction::Lower)) => direction.to_string(),
            Some(Direction::Neither) | None => String::new(),
        };
        let left_out = series.len().saturating_sub(CURVES);
        series.truncate(CURVES);
        Self { id, title: shown(title), better, left_out, series }
    }
}

impl Series {
    /// The points of a curve in a range, thinned.
    pub(crate) fn of(label: &str, points: &[Point], range: Range) -> Self {
        let sent = thin(points, range.from, range.to, POINTS);
        Self {
            label: shown(label),
            steps: sent.iter().map(|point| point.step).collect(),
            values: sent.iter().map(|point| Some(point.value).filter(|value| value.is_finite())).collect(),
            low: Vec::new(),
            high: Vec::new(),
            whole: points.len() <= POINTS,
        }
    }
}

/// None of what is no curve: classes, which have a table.
pub(crate) fn place(kind: RowKind, name: &str) -> Option<Place> {
    let of = |order, title: &str| Some((order, title.to_owned(), name.to_owned()));
    match kind {
        RowKind::Evaluation => {
            let (_, metric) = name.split_once('/').unwrap_or(("", name));
            let metric = metric.strip_prefix("macro-").unwrap_or(metric);
            if let Some((_, metric)) = metric.strip_prefix("slice.").and_then(|slice| slice.split_once('.')) {
                return of(3, &format!("{metric} of each slice"));
            }
            if metric.starts_with("recall-at-") {
                return of(2, "recall");
            }
            if metric.contains("accuracy.") { None } else { of(2, metric) }
        }
        RowKind::Step | RowKind::Epoch => {
            let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
            match name {
                "loss" => of(0, "loss"),
                "learning-rate" => of(5, "learning rate"),
                "gradient-norm" => of(5, "gradient norm"),
                _ if name.starts_with("shadow.") => of(4, "shadows"),
                _ if !name.contains('/') => of(1, "objectives"),
                _ if last.ends_with("-share") => of(4, "imbalance: shares"),
                _ if last.ends_with("-weight") => of(4, "imbalance: weights"),
                _ if last.starts_with("threshold") => of(4, "thresholds"),
                _ => of(6, last.split_once('.').map_or(last, |(first, _)| first)),
            }
        }
        RowKind::Origin | RowKind::Rewind => None,
    }
}

/// The last step of each number of complete epochs, thinned: between two of them an axis is straight.
pub(crate) fn epochs(curves: &Curves) -> Vec<(u64, u64)> {
    let measured = curves.iter().filter(|(kind, ..)| matches!(kind, RowKind::Epoch | RowKind::Evaluation));
    let longest = measured.map(|(_, _, points)| points).max_by_key(|points| points.len()).unwrap_or_default();
    let each = longest.len().div_ceil(POINTS).max(1);
    longest.iter().step_by(each).chain(longest.last()).map(|point| (point.step, point.epoch)).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use lossmith_run::{Row, Run, Steps};

    #[test]
    fn curves_that_belong_together_are_in_one_picture() {
        let title = |kind, name| place(kind, name).map(|(_, title, _)| title);
        for (kind, name, expected) in [
            (RowKind::Step, "loss", Some("loss")),
            (RowKind::Step, "objective.0.loss", Some("objectives")),
            (RowKind::Step, "objective.0.loss/active-share", Some("imbalance: shares")),
            (RowKind::Step, "shadow.ms/loss", Some("shadows")),
            (RowKind::Epoch, "objective.0.schedule/threshold.2", Some("thresholds")),
            (RowKind::Evaluation, "validation/map-at-r", Some("map-at-r")),
            (RowKind::Evaluation, "test/macro-map-at-r", Some("map-at-r")),
            (RowKind::Evaluation, "validation/recall-at-4", Some("recall")),
            (RowKind::Evaluation, "validation/slice.1.map-at-r", Some("map-at-r of each slice")),
            (RowKind::Evaluation, "validation/linear-accuracy.cat", None),
            (RowKind::Evaluation, "validation/linear-accuracy", Some("linear-accuracy")),
        ] {
            assert_eq!(title(kind, name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_part_of_a_long_curve_has_all_its_points() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "run").unwrap();
        let mut metrics = run.open_metrics().unwrap();
        for step in 1..=5000_u64 {
            let value = if step == 3 { f64::NAN } else { step as f64 };
            let values = [("loss".to_owned(), value), ("<b>\u{1b}".to_owned(), 1.0)].into();
            metrics.write(&Row { kind: RowKind::Step, epoch: 0, step, values }).unwrap();
        }
        let mut curves = run.curves(Steps::All);
        assert!(curves.read().unwrap());
        let drawing = drawing(&curves, Vec::new());
        let series = &drawing.charts[0].series[0];
        assert!(series.steps.len() <= POINTS && !series.whole && series.steps.last() == Some(&5000));
        assert_eq!(
            (drawing.charts[0].better.as_str(), drawing.charts[1].series[0].label.as_str()),
            ("lower is better", "<b>␛")
        );
        let part = part(&curves, &drawing.charts[0].id, Range { from: 2, to: 4 }).unwrap();
        assert_eq!(part.series[0].steps, [1, 2, 3, 4, 5]);
        assert_eq!(part.series[0].values, [Some(1.0), Some(2.0), None, Some(4.0), Some(5.0)]);
    }
}
