//! Which values of a metric are better: the one place that knows.

use std::fmt;

use super::{Row, RowKind};

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The larger ones.
    Higher,
    /// The smaller ones.
    Lower,
    /// It describes an embedding or a training and judges neither.
    Neither,
}

impl Direction {
    /// Of a metric that this program measures, with or without the part of the data before its name
    /// (`validation/map-at-r`). None of an unknown one. What a plugin reports is never known, whatever its name: it has
    /// a place before it.
    #[must_use]
    pub fn of(metric: &str) -> Option<Self> {
        let parts = ["train/", "validation/", "test/"];
        let name = parts.iter().find_map(|part| metric.strip_prefix(part)).unwrap_or(metric);
        let name = name.strip_prefix("macro-").or_else(|| of_a_slice(name)).unwrap_or(name);
        match name {
            "precision-at-1" | "r-precision" | "map-at-r" | "nmi" => Some(Self::Higher),
            "distance-ratio" | "loss" => Some(Self::Lower),
            // A distance alone grows and shrinks with the whole embedding; slices differ most where they are worst.
            "intra-distance" | "inter-distance" | "slice-correlation" | "slice-disagreement" => Some(Self::Neither),
            "gradient-norm" | "learning-rate" => Some(Self::Neither),
            _ if name.strip_prefix("recall-at-").is_some_and(is_number) => Some(Self::Higher),
            _ if is_accuracy(name) => Some(Self::Higher),
            _ if is_objective(name) => Some(Self::Lower),
            _ => None,
        }
    }

    /// Whether `value` is better than `best`, the best so far if there is one. What is not finite never is.
    #[must_use]
    pub fn is_better(self, value: f64, best: Option<f64>) -> bool {
        let best = best.filter(|best| best.is_finite());
        value.is_finite()
            && match self {
                Self::Higher => best.is_none_or(|best| value > best),
                Self::Lower => best.is_none_or(|best| value < best),
                Self::Neither => false,
            }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Higher => "higher is better",
            Self::Lower => "lower is better",
            Self::Neither => "neither high nor low is better",
        })
    }
}

/// The best value of a metric over the evaluations in `rows`, the first of equals, with the epochs that were complete.
/// None where it was never measured, was never finite, or has no better and worse.
#[must_use]
pub fn best(rows: &[Row], metric: &str) -> Option<(u64, f64)> {
    let evaluations = rows.iter().filter(|row| row.kind == RowKind::Evaluation);
    best_of(metric, evaluations.filter_map(|row| Some((row.epoch, *row.values.get(metric)?))))
}

/// As [`best`], of a metric's values by epoch.
#[must_use]
pub fn best_of(metric: &str, values: impl IntoIterator<Item = (u64, f64)>) -> Option<(u64, f64)> {
    let direction = Direction::of(metric)?;
    values.into_iter().fold(None, |best: Option<(u64, f64)>, (epoch, value)| {
        if direction.is_better(value, best.map(|(_, best)| best)) { Some((epoch, value)) } else { best }
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `slice.2.map-at-r` is `map-at-r` of a slice.
fn of_a_slice(name: &str) -> Option<&str> {
    let (slice, metric) = name.strip_prefix("slice.")?.split_once('.')?;
    is_number(slice).then_some(metric)
}

/// `linear-accuracy`, `linear-mean-class-accuracy`, and `linear-accuracy.NAME` of a class.
fn is_accuracy(name: &str) -> bool {
    let metric = name.split_once('.').map_or(name, |(metric, _)| metric);
    let classifiers = ["linear", "nearest-neighbours", "class-mean"];
    let measured = classifiers.iter().find_map(|classifier| metric.strip_prefix(classifier));
    matches!(measured, Some("-accuracy" | "-mean-class-accuracy"))
}

/// `objective.0.loss` and `objective.0.transfer`: what is minimised.
fn is_objective(name: &str) -> bool {
    let place = name.strip_prefix("objective.").and_then(|rest| rest.split_once('.'));
    place.is_some_and(|(number, role)| is_number(number) && matches!(role, "loss" | "transfer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_direction_with_and_without_a_part() {
        for (direction, names) in [
            (
                Some(Direction::Higher),
                [
                    "map-at-r",
                    "macro-recall-at-4",
                    "nmi",
                    "slice.10.r-precision",
                    "class-mean-mean-class-accuracy",
                    "nearest-neighbours-accuracy.a/b.c",
                ]
                .as_slice(),
            ),
            (Some(Direction::Lower), &["distance-ratio", "loss", "objective.3.transfer"]),
            (Some(Direction::Neither), &["intra-distance", "inter-distance", "slice-correlation", "gradient-norm"]),
            (None, &["objective.0.loss/accuracy", "objective.0.miner/nmi", "shadow.a/loss", "recall-at-", "accuracy"]),
        ] {
            for name in names {
                assert_eq!(Direction::of(name), direction, "{name}");
                assert_eq!(Direction::of(&format!("validation/{name}")), direction, "{name}");
            }
        }
    }

    #[test]
    fn the_best_is_by_direction_and_what_is_not_finite_never_is() {
        let row = |epoch: u64, ratio: f64| Row {
            kind: RowKind::Evaluation,
            epoch,
            step: epoch,
            values: [("validation/distance-ratio", ratio), ("validation/nmi", ratio), ("x", ratio)]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        };
        let rows = [row(1, f64::NAN), row(2, 0.5), row(3, 0.25), row(4, f64::NEG_INFINITY), row(5, 0.25)];
        assert_eq!(best(&rows, "validation/distance-ratio"), Some((3, 0.25)));
        assert_eq!(best(&rows, "validation/nmi"), Some((2, 0.5)));
        assert_eq!((best(&rows, "x"), best(&rows[..1], "validation/nmi")), (None, None));
        assert!(Direction::Lower.is_better(1.0, Some(f64::NAN)));
    }
}
