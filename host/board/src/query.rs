//! What the address of the list chooses: which runs, in which order, and what of them is shown.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use lossmith_run::Direction;
use serde::Deserialize;

use crate::groups::is_end;
use crate::overview::Overview;

/// The choices, as they stand in the address. Each has a default, so that the bare address is a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    /// Words that a run must have, and `key=value` of its experiment.
    pub(crate) q: String,
    /// What it is sorted by: `name`, `status`, `started`, `epoch` or a metric; with `-` before it, downwards.
    pub(crate) sort: String,
    /// Metrics with a column, with commas between them; empty for the usual ones.
    pub(crate) columns: String,
    /// A key by whose values runs are grouped, or `seed` for runs that differ in nothing else.
    pub(crate) group: String,
    /// Any text to show all runs, and not only the first ones.
    pub(crate) all: String,
}

impl Query {
    /// The address of these choices.
    pub(crate) fn address(&self) -> String {
        let Self { q, sort, columns, group, all } = self;
        let mut address = Serializer::for_suffix("/?".to_owned(), "/?".len());
        for (name, value) in [("q", q), ("sort", sort), ("columns", columns), ("group", group), ("all", all)] {
            if !value.is_empty() {
                address.append_pair(name, value);
            }
        }
        address.finish()
    }

    /// The metrics that were chosen.
    pub(crate) fn metrics(&self) -> Vec<&str> {
        self.columns.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
    }

    /// What is sorted by, and whether downwards.
    pub(crate) fn order(&self) -> (&str, bool) {
        match self.sort.strip_prefix('-') {
            Some(key) => (key, true),
            None if self.sort.is_empty() => ("started", true),
            None => (&self.sort, false),
        }
    }

    /// Whether a run has every word, wherever it stands.
    pub(crate) fn takes(&self, name: &str, run: &Overview) -> bool {
        let none = BTreeMap::new();
        let leaves = run.leaves.as_ref().unwrap_or(&none);
        self.q.split_whitespace().all(|word| match word.split_once('=') {
            Some(("status", status)) => run.status.to_string() == status,
            Some((key, value)) => leaves.iter().any(|(leaf, of)| is_end(leaf, key) && of == value),
            None => name.contains(word) || leaves.get("name").is_some_and(|of| of.contains(word)),
        })
    }

    /// Which of two runs comes first.
    pub(crate) fn compare(&self, one: (&str, &Overview), other: (&str, &Overview)) -> Ordering {
        let (key, down) = self.order();
        let ((one_name, one), (other_name, other)) = (one, other);
        let turned = |order: Ordering| if down { order.reverse() } else { order };
        let order = match key {
            "name" => turned(one_name.cmp(other_name)),
            "status" => turned(one.status.to_string().cmp(&other.status.to_string())),
            "started" => turned(one.started().cmp(&other.started())),
            "epoch" => turned(one.reached.cmp(&other.reached)),
            metric => match (one.shown(metric), other.shown(metric)) {
                (Some(one), Some(other)) => turned(one.total_cmp(&other)),
                // What was not measured is last, whichever way the others are sorted.
                (one, other) => other.is_some().cmp(&one.is_some()),
            },
        };
        order.then_with(|| one_name.cmp(other_name))
    }

    /// The sort that a click on a column asks for: the best first, and the other way round where it is sorted so.
    pub(crate) fn sorted_by(&self, key: &str) -> Self {
        let down_first = match key {
            "name" | "status" => false,
            "started" | "epoch" => true,
            metric => Direction::of(metric) != Some(Direction::Lower),
        };
        let down = if self.order().0 == key { !self.order().1 } else { down_first };
        Self { sort: format!("{}{key}", if down { "-" } else { "" }), ..self.clone() }
    }
}

impl Overview {
    /// The value of a metric that a list is sorted by: the best where there is one, else the last.
    pub(crate) fn shown(&self, metric: &str) -> Option<f64> {
        self.best(metric).map(|(_, value)| value).or_else(|| self.last(metric))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use lossmith_run::{Event, Row, RowKind, Run};
    use std::path::Path;

    fn run(root: &Path, name: &str, seed: u64, values: &[f64]) -> (String, Overview) {
        let run = Run::create(root, name).unwrap();
        run.record(Event::Finished { epoch: 1, step: 2 }).unwrap();
        run.write_experiment(&format!("name = \"{name}\"\nseed = {seed}\n")).unwrap();
        let mut metrics = run.open_metrics().unwrap();
        for (epoch, value) in (1..).zip(values) {
            let values = [("validation/distance-ratio".to_owned(), *value)].into();
            metrics.write(&Row { kind: RowKind::Evaluation, epoch, step: epoch, values }).unwrap();
        }
        let mut overview = Overview::new(run);
        assert!(overview.look());
        (name.to_owned(), overview)
    }

    #[test]
    fn words_and_keys_choose_and_metrics_sort_by_their_best() {
        let root = tempfile::tempdir().unwrap();
        let runs =
            [run(root.path(), "b", 1, &[0.5, 0.9]), run(root.path(), "a", 2, &[0.7]), run(root.path(), "c", 1, &[])];
        let names = |query: &Query| {
            let mut found: Vec<_> = runs.iter().filter(|(name, run)| query.takes(name, run)).collect();
            found.sort_by(|one, other| query.compare((&one.0, &one.1), (&other.0, &other.1)));
            found.into_iter().map(|(name, _)| name.as_str()).collect::<String>()
        };
        let query = |q: &str, sort: &str| Query { q: q.into(), sort: sort.into(), ..Query::default() };
        assert_eq!(names(&query("", "name")), "abc");
        assert_eq!(names(&query("seed=1 status=finished", "-name")), "cb");
        assert_eq!(names(&query("seed=3", "")) + &names(&query("status=running", "")) + &names(&query("A", "")), "");
        // 0.5 is the best of b, since a lower ratio is better; c has none and stays last.
        assert_eq!(names(&query("", "validation/distance-ratio")), "bac");
        assert_eq!(names(&query("", "-validation/distance-ratio")), "abc");
    }

    #[test]
    fn a_click_sorts_by_the_best_and_then_the_other_way_round() {
        let sorted = |sort: &str, key: &str| Query { sort: sort.into(), ..Query::default() }.sorted_by(key).sort;
        assert_eq!(sorted("", "validation/map-at-r"), "-validation/map-at-r");
        assert_eq!(sorted("-validation/map-at-r", "validation/map-at-r"), "validation/map-at-r");
        assert_eq!(
            [sorted("", "validation/distance-ratio"), sorted("", "started")],
            ["validation/distance-ratio", "started"]
        );
        let query = Query { q: "a&b =".into(), group: "seed".into(), ..Query::default() };
        assert_eq!((query.address().as_str(), Query::default().address().as_str()), ("/?q=a%26b+%3D&group=seed", "/?"));
    }
}
