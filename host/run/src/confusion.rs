//! `confusion.jsonl`: which classes were taken for which.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::jsonl::{self, Appender};
use super::{Run, RunError, Steps};

/// What a classifier made of a part of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Confusion {
    /// The part.
    pub part: String,
    /// The classifier.
    pub classifier: String,
    /// Epochs that were complete.
    pub epoch: u64,
    /// Steps that were complete.
    pub step: u64,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Images by their true class (row) and the class that was found (column), both in the order of `classes`.
    pub confusion: Vec<Vec<u64>>,
}

impl Run {
    fn confusion_file(&self) -> std::path::PathBuf {
        self.path().join("confusion.jsonl")
    }

    /// Appends to `confusion.jsonl`.
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn record_confusion(&self, confusion: &Confusion) -> Result<(), RunError> {
        Appender::open(self.confusion_file())?.append(confusion)
    }

    /// The last confusion of each classifier on each part, of steps that were not undone.
    ///
    /// # Errors
    /// The file cannot be read. Lines that cannot be understood are passed over.
    pub fn confusions(&self) -> Result<Vec<Confusion>, RunError> {
        let rows = jsonl::read::<Confusion>(&self.confusion_file())?.rows;
        // Most runs have none, and their metrics may be long.
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut curves = self.curves(Steps::Last);
        curves.read()?;
        let last = Some(curves.reached().1).filter(|step| *step > 0).unwrap_or(u64::MAX);
        let rows = rows.into_iter().filter(|row| row.step <= last);
        let by_kind = rows.map(|row| ((row.part.clone(), row.classifier.clone()), row));
        Ok(by_kind.collect::<BTreeMap<_, _>>().into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::{Row, RowKind};

    #[test]
    fn the_last_of_each_kind_counts_unless_it_was_undone() {
        let root = tempfile::tempdir().unwrap();
        let run = Run::create(root.path(), "x").unwrap();
        assert!(run.confusions().unwrap().is_empty());
        let row = |part: &str, step, right| Confusion {
            part: part.into(),
            classifier: "linear".into(),
            epoch: step / 10,
            step,
            classes: vec!["a".into()],
            confusion: vec![vec![right]],
        };
        for row in [row("validation", 10, 1), row("validation", 20, 2), row("test", 20, 3), row("validation", 30, 4)] {
            run.record_confusion(&row).unwrap();
        }
        assert_eq!(run.confusions().unwrap(), [row("test", 20, 3), row("validation", 30, 4)]);
        let metric = Row { kind: RowKind::Step, epoch: 2, step: 20, values: BTreeMap::new() };
        run.open_metrics().unwrap().write(&metric).unwrap();
        assert_eq!(run.confusions().unwrap(), [row("test", 20, 3), row("validation", 20, 2)]);
    }
}
