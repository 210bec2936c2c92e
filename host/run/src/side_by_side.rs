//! A metric of two runs, epoch by epoch.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Row, RowKind};

/// A metric of two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SideBySide {
    /// Its name in the record.
    pub metric: String,
    /// By epochs that were complete, what each of the runs has.
    pub epochs: BTreeMap<u64, [Option<f64>; 2]>,
}

/// Puts a metric of two runs side by side: one of the epochs (`loss`) or of the evaluations (`validation/map-at-r`,
/// which may be written `map-at-r`).
///
/// # Errors
/// Neither has it: the names that there are.
pub fn side_by_side(metric: &str, first: &[Row], second: &[Row]) -> Result<SideBySide, BTreeSet<String>> {
    let measured = |row: &&Row| matches!(row.kind, RowKind::Epoch | RowKind::Evaluation);
    let names: BTreeSet<&String> =
        first.iter().chain(second).filter(measured).flat_map(|row| row.values.keys()).collect();
    let validation = format!("validation/{metric}");
    let found = [metric, &validation].into_iter().find(|name| names.iter().any(|known| known == name));
    let Some(name) = found else { return Err(names.into_iter().cloned().collect()) };
    let mut epochs = BTreeMap::<u64, [Option<f64>; 2]>::new();
    for (run, rows) in [first, second].into_iter().enumerate() {
        for row in rows.iter().filter(measured) {
            if let (Some(value), Some(of_run)) =
                (row.values.get(name), epochs.entry(row.epoch).or_default().get_mut(run))
            {
                *of_run = Some(*value);
            }
        }
    }
    epochs.retain(|_, values| values.iter().any(Option::is_some));
    Ok(SideBySide { metric: name.to_owned(), epochs })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn both_runs_have_their_value_in_each_epoch() {
        let row = |kind, epoch, name: &str, value| Row {
            kind,
            epoch,
            step: epoch,
            values: [(name.to_owned(), value)].into(),
        };
        let first = [row(RowKind::Step, 0, "loss", 9.0), row(RowKind::Epoch, 1, "loss", 0.5)];
        let second = [row(RowKind::Epoch, 2, "loss", 0.25), row(RowKind::Evaluation, 2, "validation/nmi", 0.75)];
        let loss = side_by_side("loss", &first, &second).unwrap();
        assert_eq!(loss.epochs, BTreeMap::from([(1, [Some(0.5), None]), (2, [None, Some(0.25)])]));
        let nmi = side_by_side("nmi", &first, &second).unwrap();
        assert_eq!((nmi.metric.as_str(), nmi.epochs.len()), ("validation/nmi", 1));
        assert_eq!(side_by_side("x", &first, &second), Err(["loss", "validation/nmi"].map(str::to_owned).into()));
    }
}
