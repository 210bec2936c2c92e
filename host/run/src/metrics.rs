//! `metrics.jsonl` and the TensorBoard events: what was measured.

use std::collections::BTreeMap;
use std::path::Path;

use super::RunError;
use super::jsonl::Appender;
use super::row::{Row, RowKind};
use super::tensorboard::EventFile;

/// Where a process writes its measurements.
#[derive(Debug)]
pub struct MetricsLog {
    rows: Appender,
    events: EventFile,
}

impl MetricsLog {
    pub(super) fn open(folder: &Path) -> Result<Self, RunError> {
        Ok(Self { rows: Appender::open(folder.join("metrics.jsonl"))?, events: EventFile::create(folder)? })
    }

    /// Appends a row to `metrics.jsonl`, and its numbers to the TensorBoard events under `KIND/NAME` (in single
    /// precision).
    ///
    /// # Errors
    /// No room, or the system refuses to write.
    pub fn write(&mut self, row: &Row) -> Result<(), RunError> {
        self.rows.append(row)?;
        self.events.write(row)
    }

    /// Notes that the run goes back to a step.
    ///
    /// # Errors
    /// As [`MetricsLog::write`].
    pub fn rewind(&mut self, epoch: u64, step: u64) -> Result<(), RunError> {
        self.rows.append(&Row { kind: RowKind::Rewind, epoch, step, values: BTreeMap::new() })?;
        self.events.rewind(step)
    }

    /// Makes sure that all rows are on the disk; the system does so by itself after a while.
    ///
    /// # Errors
    /// As [`MetricsLog::write`].
    pub fn sync(&self) -> Result<(), RunError> {
        self.rows.sync()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::jsonl;

    #[test]
    fn numbers_come_back_to_the_last_bit() {
        let folder = tempfile::tempdir().unwrap();
        let values = [("a", 0.1), ("b", f64::NEG_INFINITY), ("c", 1e-310), ("d", f64::from(0.3_f32)), ("e", f64::MAX)];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let row = Row { kind: RowKind::Evaluation, epoch: 3, step: 1 << 60, values };
        MetricsLog::open(folder.path()).unwrap().write(&row).unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(jsonl::read::<Row>(&path).unwrap().rows, [row]);
    }
}
