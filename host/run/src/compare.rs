//! Comparing what two runs measured.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Row, RowKind, Run, RunError};

/// Where a number of a run is: kind of the row, epochs, steps, and the metric's name.
type Place = (RowKind, u64, u64, String);

/// What the numbers of two runs have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// Numbers that both have and that are equal to the last bit.
    pub equal: usize,
    /// Numbers that differ, or that only one of them has.
    pub different: usize,
    /// The first of those, in the order of the steps.
    pub first: Option<Difference>,
    /// Tensors of checkpoints that both have and that are equal to the last bit.
    pub equal_tensors: usize,
    /// Tensors of checkpoints that differ, as `epoch 3: model/head.weight`; at most ten.
    pub different_tensors: Vec<String>,
    /// Numbers and tensors of either run that are not finite, the earliest first; at most ten.
    pub not_finite: Vec<String>,
}

/// A number of two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// `step`, `epoch` or `evaluation`.
    pub kind: RowKind,
    /// Epochs that were complete.
    pub epoch: u64,
    /// Steps that were complete.
    pub step: u64,
    /// The metric.
    pub name: String,
    /// The first run's number, if it has one.
    pub first: Option<f64>,
    /// The second run's.
    pub second: Option<f64>,
}

impl Comparison {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.different == 0 && self.different_tensors.is_empty()
    }

    /// Notes a number or a tensor that is not finite, in words, if there are not ten of them yet.
    pub fn note_not_finite(&mut self, what: String) {
        if self.not_finite.len() < 10 {
            self.not_finite.push(what);
        }
    }
}

/// Compares the numbers of two runs up to a step. Those of shadows are left out: how often a shadow is computed depends
/// on the clock. KeptCheckpoints are not opened: the comparison has no tensors.
///
/// # Errors
/// A file cannot be read.
pub fn compare_numbers(a: &Run, b: &Run, until: u64) -> Result<Comparison, RunError> {
    let (first, second) = (numbers(a, until)?, numbers(b, until)?);
    let mut comparison = Comparison::default();
    let places: std::collections::BTreeSet<&Place> = first.keys().chain(second.keys()).collect();
    let mut places: Vec<&Place> = places.into_iter().collect();
    places.sort_by_key(|(kind, epoch, step, _)| (*step, *kind, *epoch));
    for place in places {
        let (first, second) = (first.get(place).copied(), second.get(place).copied());
        if [first, second].into_iter().flatten().any(|value| !value.is_finite()) {
            let (kind, _, step, name) = place;
            comparison.note_not_finite(format!("{name} of the {kind} row after step {step}"));
        }
        if first.map(f64::to_bits) == second.map(f64::to_bits) {
            comparison.equal += 1;
            continue;
        }
        comparison.different += 1;
        let (kind, epoch, step, name) = place.clone();
        comparison.first.get_or_insert(Difference { kind, epoch, step, name, first, second });
    }
    Ok(comparison)
}

fn numbers(run: &Run, until: u64) -> Result<BTreeMap<Place, f64>, RunError> {
    let mut numbers = BTreeMap::new();
    let rows: Vec<Row> = run.metrics()?.rows.into_iter().filter(|row| row.step <= until).collect();
    // A run that went on after its end measured the test part there; its repetition does so at the last end only.
    let last = rows.iter().map(|row| row.step).max().unwrap_or_default();
    for Row { kind, epoch, step, values } in rows {
        let counts = |name: &String| !name.starts_with("shadow.") && (step == last || !name.starts_with("test/"));
        let values = values.into_iter().filter(|(name, _)| counts(name));
        numbers.extend(values.map(|(name, value)| ((kind, epoch, step, name), value)));
    }
    Ok(numbers)
}
