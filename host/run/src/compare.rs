//! Comparing what two runs measured and what they trained with.

use std::collections::BTreeMap;

use serde::Serialize;
use tch::{Kind, TchError, Tensor};

use super::{PluginEntry, Row, RowKind, Run, RunError, load_checkpoint};

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

    fn note(&mut self, what: String) {
        if self.not_finite.len() < 10 {
            self.not_finite.push(what);
        }
    }
}

/// Compares the numbers and the checkpoints of two runs up to a step. Those of shadows are left out: how often a shadow
/// is computed depends on the clock.
///
/// # Errors
/// A file cannot be read.
pub fn compare(a: &Run, b: &Run, until: u64) -> Result<Comparison, RunError> {
    let mut comparison = compare_numbers(a, b, until)?;
    tensors(a, b, until, &mut comparison)?;
    Ok(comparison)
}

/// As [`compare`], without the checkpoints.
///
/// # Errors
/// As [`compare`].
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
            comparison.note(format!("{name} of the {kind} row after step {step}"));
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

fn tensors(a: &Run, b: &Run, until: u64, comparison: &mut Comparison) -> Result<(), RunError> {
    let others = b.checkpoints()?;
    for (epoch, path) in a.checkpoints()? {
        let Some(other) = others.get(&epoch) else { continue };
        let (first, second) = (load_checkpoint(&path)?, load_checkpoint(other)?);
        if first.step > until || second.step > until {
            continue;
        }
        let names = first.tensors.keys().chain(second.tensors.keys()).filter(|name| !name.starts_with("shadow/"));
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let both = [first.tensors.get(name), second.tensors.get(name)];
            for tensor in both.into_iter().flatten() {
                if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                    comparison.note(format!("epoch {epoch}: {name}"));
                    break;
                }
            }
            let equal = match both {
                [Some(first), Some(second)] => same_bits(first, second)?,
                _ => false,
            };
            if equal {
                comparison.equal_tensors += 1;
            } else if comparison.different_tensors.len() < 10 {
                comparison.different_tensors.push(format!("epoch {epoch}: {name}"));
            }
        }
    }
    Ok(())
}

/// Whether two tensors are equal to the last bit, NaN and the sign of 0 included.
fn same_bits(a: &Tensor, b: &Tensor) -> Result<bool, TchError> {
    if a.size() != b.size() || a.kind() != b.kind() {
        return Ok(false);
    }
    let bits = |tensor: &Tensor| match tensor.kind().elt_size_in_bytes() {
        1 => tensor.f_view_dtype(Kind::Uint8),
        2 => tensor.f_view_dtype(Kind::Int16),
        4 => tensor.f_view_dtype(Kind::Int),
        _ => tensor.f_view_dtype(Kind::Int64),
    };
    bits(&a.f_contiguous()?)?.f_equal(&bits(&b.f_contiguous()?)?)
}

impl Run {
    /// What was at work from which epoch on: epochs that were complete, the revision, and its components.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn revisions(&self) -> Result<Vec<(u64, u64, Vec<PluginEntry>)>, RunError> {
        let mut epochs = BTreeMap::new();
        for entry in self.journal()?.rows {
            if let super::Event::Swap { epoch, step, .. } | super::Event::Rollback { epoch, step, .. } = entry.event {
                epochs.insert(step, epoch);
            }
        }
        let mut revisions = vec![(0, 0, self.manifest()?.plugins)];
        for (step, revision) in self.timeline()? {
            let same = revisions.last().is_some_and(|(_, last, _)| *last == revision);
            if !same {
                let epoch = epochs.get(&step).copied().unwrap_or_default();
                revisions.push((epoch, revision, self.revision(revision)?.about.plugins));
            }
        }
        Ok(revisions)
    }
}
