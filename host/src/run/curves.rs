//! The curves of a report: what they show, at which steps, and where the run was edited.

use std::collections::BTreeMap;

use lossmith_run::{Entry, Event, Row, RowKind};

use crate::plot::{Mark, Series};

/// Points of a curve; more of them are drawn as means of neighbours.
const POINTS: usize = 500;

/// A measurement over some steps.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mean {
    /// The last of the steps, or the epoch.
    at: f64,
    value: f64,
    /// How many steps; 1 for what is no mean over steps.
    steps: f64,
}

/// One curve for each value whose name is `wanted`: over steps, or over epochs for what is measured after one.
///
/// Rows of steps are means over as many steps as there are since the row before. Where an epoch does not end with a
/// whole interval, its last row is of few steps: it is joined with its neighbours by the number of their steps, as
/// otherwise every epoch would end in a jag.
pub(super) fn series(rows: &[Row], kind: RowKind, wanted: impl Fn(&str) -> bool) -> Vec<Series> {
    let mut curves = BTreeMap::<&str, Vec<Mean>>::new();
    // A branch begins at the step of its origin.
    let mut before = rows.iter().find(|row| row.kind == RowKind::Origin).map_or(0, |row| row.step);
    for row in rows.iter().filter(|row| row.kind == kind) {
        let (at, steps) = match kind {
            RowKind::Step => (row.step, row.step.saturating_sub(before).max(1)),
            RowKind::Epoch | RowKind::Evaluation | RowKind::Origin | RowKind::Rewind => (row.epoch, 1),
        };
        before = row.step;
        for (name, value) in row.values.iter().filter(|(name, _)| wanted(name)) {
            curves.entry(name).or_default().push(Mean { at: at as f64, value: *value, steps: steps as f64 });
        }
    }
    let curve = |(name, means): (&str, Vec<Mean>)| Series { name: name.to_owned(), points: joined(&means) };
    curves.into_iter().map(curve).collect()
}

/// Joins neighbours so that each point is of as many steps as the longest interval or more, and at most [`POINTS`] are
/// left. What is left over at the end is of the last point.
fn joined(means: &[Mean]) -> Vec<(f64, f64)> {
    let longest = means.iter().map(|mean| mean.steps).fold(1.0, f64::max);
    let all: f64 = means.iter().map(|mean| mean.steps).sum();
    let enough = longest.max((all / POINTS as f64).ceil());
    let mut groups: Vec<&[Mean]> = Vec::new();
    let (mut begin, mut steps) = (0, 0.0);
    for (at, mean) in means.iter().enumerate() {
        steps += mean.steps;
        if steps >= enough {
            groups.extend(means.get(begin..=at));
            (begin, steps) = (at + 1, 0.0);
        }
    }
    let rest = means.get(begin..).filter(|rest| !rest.is_empty());
    match (rest, groups.pop()) {
        (Some(rest), Some(last)) => groups.extend(means.get(begin - last.len()..begin + rest.len())),
        (rest, last) => groups.extend(last.into_iter().chain(rest)),
    }
    groups.into_iter().filter_map(point).collect()
}

/// The mean of a group by the number of steps, at its last step.
fn point(group: &[Mean]) -> Option<(f64, f64)> {
    let steps: f64 = group.iter().map(|mean| mean.steps).sum();
    let sum: f64 = group.iter().map(|mean| mean.steps * mean.value).sum();
    Some((group.last()?.at, sum / steps))
}

/// Where revisions came and went: by step, or by the epochs that were complete.
pub(super) fn marks(journal: &[Entry], kind: RowKind) -> Vec<Mark> {
    let mut found = BTreeMap::<u64, Vec<String>>::new();
    for entry in journal {
        let (epoch, step, name) = match &entry.event {
            Event::Swap { revision, epoch, step, .. } => (*epoch, *step, format!("r{revision}")),
            Event::Rollback { to, epoch, step, .. } => (*epoch, *step, format!("back to r{to}")),
            _ => continue,
        };
        let at = if kind == RowKind::Step { step } else { epoch };
        found.entry(at).or_default().push(name);
    }
    found.into_iter().map(|(at, names)| Mark { at: at as f64, name: names.join(", ") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(steps: impl IntoIterator<Item = (u64, f64)>) -> Vec<Row> {
        let row =
            |(step, value)| Row { kind: RowKind::Step, epoch: 0, step, values: [("loss".to_owned(), value)].into() };
        steps.into_iter().map(row).collect()
    }

    fn points(rows: &[Row]) -> Vec<(f64, f64)> {
        series(rows, RowKind::Step, |name| name == "loss").into_iter().flat_map(|series| series.points).collect()
    }

    #[test]
    fn the_short_interval_at_the_end_of_an_epoch_makes_no_jag() {
        // Epochs of 52 steps and a row every 50: the rows of 2 steps are far off, as means of few steps are.
        let rows = rows([(50, 1.0), (52, 27.0), (102, 1.0), (104, 27.0), (154, 1.0), (156, 27.0)]);
        // (2 x 27 + 50 x 1) / 52 = 2, at the last step of both; the last 2 steps are of the last point.
        assert_eq!(points(&rows), [(50.0, 1.0), (102.0, 2.0), (156.0, (2.0 * 27.0 + 50.0 + 2.0 * 27.0) / 54.0)]);
    }

    #[test]
    fn intervals_of_one_length_stay_as_they_are() {
        assert_eq!(points(&rows([(5, 1.0), (10, 2.0), (15, 4.0)])), [(5.0, 1.0), (10.0, 2.0), (15.0, 4.0)]);
        assert_eq!(points(&rows([(3, 1.5)])), [(3.0, 1.5)]);
        let origin = Row { kind: RowKind::Origin, epoch: 2, step: 100, values: BTreeMap::new() };
        let branch: Vec<Row> = [origin].into_iter().chain(rows([(105, 1.0), (110, 2.0)])).collect();
        assert_eq!(points(&branch), [(105.0, 1.0), (110.0, 2.0)]);
        assert_eq!(points(&[]), []);
    }

    #[test]
    fn a_long_curve_is_thinned_by_means() {
        let thinned = points(&rows((1..=1000).map(|step| (step, step as f64))));
        assert_eq!((thinned[0], thinned.len()), ((2.0, 1.5), 500));
        let few: Vec<(u64, f64)> = (1..=500).map(|step| (step, 1.0)).collect();
        assert_eq!(points(&rows(few)).len(), 500);
    }

    #[test]
    fn edits_are_marked_where_they_were_taken() {
        let (changes, plugins, quarantined) = (Vec::new(), Vec::new(), Vec::new());
        let events = [
            Event::Started { process: None },
            Event::Swap { revision: 1, epoch: 2, step: 20, changes, plugins: plugins.clone() },
            Event::Rollback {
                revision: 1,
                to: 0,
                epoch: 2,
                step: 20,
                failed_at: 21,
                reason: "NaN".to_owned(),
                quarantined,
                plugins,
            },
        ];
        let entries = events.map(|event| Entry { time: jiff::Timestamp::UNIX_EPOCH, event });
        let mark = |at| vec![Mark { at, name: "r1, back to r0".to_owned() }];
        assert_eq!((marks(&entries, RowKind::Step), marks(&entries, RowKind::Evaluation)), (mark(20.0), mark(2.0)));
    }
}
