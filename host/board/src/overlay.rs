//! Curves of several runs in the same pictures: a line for each run, or the mean of those that differ in their seeds.

use std::collections::BTreeMap;

use lossmith_run::{Curves, estimate};

use crate::charts::{Chart, Drawing, Range, Series, epochs, place};

/// A run among others.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// What its curves are called.
    pub(crate) label: String,
    /// Runs of one group are equal but for their seeds.
    pub(crate) group: String,
}

/// Pictures by their order and the name of the metric.
#[derive(Default)]
pub(crate) struct Overlay {
    pictures: BTreeMap<(u8, String), Vec<(Member, Series)>>,
    epochs: Vec<(u64, u64)>,
}

impl Overlay {
    /// Adds the curves of a run.
    pub(crate) fn add(&mut self, member: Member, curves: &Curves) {
        let found = epochs(curves);
        if found.len() > self.epochs.len() {
            self.epochs = found;
        }
        for (kind, name, points) in curves.iter() {
            if let Some((order, ..)) = place(kind, name) {
                let series = Series::of(&member.label, points, Range::ALL);
                self.pictures.entry((order, name.to_owned())).or_default().push((member.clone(), series));
            }
        }
    }

    /// All pictures.
    pub(crate) fn drawing(self) -> Drawing {
        let chart = |((order, name), members): ((u8, String), Vec<(Member, Series)>)| {
            Chart::new(format!("{order}-{name}"), &name, &name, lines(members))
        };
        Drawing { charts: self.pictures.into_iter().map(chart).collect(), epochs: self.epochs, marks: Vec::new() }
    }
}

fn lines(members: Vec<(Member, Series)>) -> Vec<Series> {
    let mut groups = BTreeMap::<String, Vec<Series>>::new();
    for (member, series) in members {
        groups.entry(member.group).or_default().push(series);
    }
    groups.into_iter().flat_map(|(name, series)| band(&name, &series).map_or(series, |band| vec![band])).collect()
}

/// The mean of several curves with its 95 % interval; none if they were not measured at the same steps.
fn band(name: &str, series: &[Series]) -> Option<Series> {
    let (first, others) = series.split_first()?;
    if others.is_empty() || others.iter().any(|other| other.steps != first.steps) {
        return None;
    }
    let at = |at: usize| {
        let values: Vec<f64> = series.iter().filter_map(|one| one.values.get(at).copied().flatten()).collect();
        (values.len() == series.len()).then(|| estimate(&values)).flatten()
    };
    let found: Vec<_> = (0..first.steps.len()).map(at).collect();
    let end = |sign: f64| {
        let of = |found: &Option<lossmith_run::Estimate>| found.and_then(|one| Some(one.mean + sign * one.half_width?));
        found.iter().map(of).collect()
    };
    Some(Series {
        label: format!("{} (mean of {})", crate::text::shown(name), series.len()),
        steps: first.steps.clone(),
        values: found.iter().map(|one| one.map(|one| one.mean)).collect(),
        low: end(-1.0),
        high: end(1.0),
        whole: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(label: &str, steps: &[u64], values: &[f64]) -> Series {
        let values = values.iter().map(|value| Some(*value)).collect();
        Series { label: label.into(), steps: steps.into(), values, low: vec![], high: vec![], whole: true }
    }

    #[test]
    fn seeds_become_a_band_where_they_have_the_same_steps() {
        let member = |label: &str, group: &str| Member { label: label.into(), group: group.into() };
        let drawn = lines(vec![
            (member("a1", "a"), series("a1", &[1, 2], &[2.0, 1.0])),
            (member("a2", "a"), series("a2", &[1, 2], &[4.0, 1.0])),
            (member("b1", "b"), series("b1", &[1, 2], &[0.0, 0.0])),
            (member("b2", "b"), series("b2", &[1, 3], &[0.0, 0.0])),
        ]);
        let labels: Vec<&str> = drawn.iter().map(|series| series.label.as_str()).collect();
        assert_eq!(labels, ["a (mean of 2)", "b1", "b2"]);
        // Two values: half of their difference times Student's t of one degree, 12.706.
        assert_eq!((drawn[0].values[0], drawn[0].low[1], drawn[0].high[1]), (Some(3.0), Some(1.0), Some(1.0)));
        assert!((drawn[0].high[0].unwrap_or_default() - 15.706).abs() < 1e-9);
    }
}
