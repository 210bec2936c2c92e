//! Metrics of a training: the means of its steps, the rows of the record, and the last values that strategies can ask
//! for.

use std::collections::BTreeMap;
use std::sync::Arc;

use lossmith_plugin::Metric;
use tch::{Device, TchError, Tensor};

use super::assembly::below;
use super::averages::Averages;
use super::training_error::TrainingError;
use crate::run::{MetricsLog, Row, RowKind, Run, RunError};

/// What is measured of the steps and written down.
pub(super) struct Metrics {
    log: MetricsLog,
    /// Last values by name, which strategies can ask for.
    last: Arc<BTreeMap<String, f64>>,
    /// Of the steps since the last row of steps.
    recent: Averages,
    /// Of the whole epoch up to there.
    whole: Averages,
}

impl Metrics {
    /// Of a run, whose rows are added to.
    pub(super) fn open(run: &Run) -> Result<Self, RunError> {
        let (recent, whole) = (Averages::default(), Averages::default());
        Ok(Self { log: run.open_metrics()?, last: Arc::default(), recent, whole })
    }

    /// The last values by name.
    pub(super) fn last(&self) -> &Arc<BTreeMap<String, f64>> {
        &self.last
    }

    /// Forgets the steps of an epoch that is over or undone.
    pub(super) fn begin_epoch(&mut self) {
        (self.recent, self.whole) = (Averages::default(), Averages::default());
    }

    /// Adds the metrics of a step. Waits for nothing.
    pub(super) fn add(&mut self, metrics: &[(String, Metric)]) -> Result<(), TchError> {
        self.recent.add(metrics)
    }

    /// Writes the means of the `steps` since the last row; `step` are those of the run that are complete. Returns the
    /// loss.
    pub(super) fn end_interval(&mut self, epoch: u64, step: u64, steps: u64) -> Result<Option<f64>, TrainingError> {
        let means = self.recent.take()?;
        let loss = means.get("loss").copied();
        if let Some(value) = loss.filter(|loss| !loss.is_finite()) {
            return Err(TrainingError::Loss { value, step });
        }
        self.whole.merge(&means, steps);
        self.write(RowKind::Step, epoch, step, means)?;
        Ok(loss)
    }

    /// The means of a whole epoch.
    pub(super) fn end_epoch(&mut self) -> Result<BTreeMap<String, f64>, TchError> {
        self.whole.take()
    }

    /// Writes a row and keeps its values as the last ones.
    pub(super) fn write(
        &mut self,
        kind: RowKind,
        epoch: u64,
        step: u64,
        values: BTreeMap<String, f64>,
    ) -> Result<(), RunError> {
        let row = Row { kind, epoch, step, values };
        self.log.write(&row)?;
        // How often a shadow is computed depends on the clock: nothing that trains may see its numbers.
        let values = row.values.into_iter().filter(|(name, _)| !name.starts_with("shadow."));
        Arc::make_mut(&mut self.last).extend(values);
        Ok(())
    }

    /// Takes over the last values of the run that this one branches from. That its test part was measured does not
    /// count here.
    pub(super) fn inherit(&mut self, epoch: u64, step: u64, mut values: BTreeMap<String, f64>) -> Result<(), RunError> {
        values.retain(|name, _| !name.starts_with("test/") && !name.starts_with("shadow."));
        self.write(RowKind::Origin, epoch, step, values)
    }

    /// The rows of a run up to a step; later ones are undone.
    pub(super) fn rewind(&mut self, run: &Run, epoch: u64, step: u64) -> Result<Vec<Row>, RunError> {
        let mut rows = run.metrics()?.rows;
        if rows.iter().any(|row| row.step > step) {
            self.log.rewind(epoch, step)?;
        }
        rows.retain(|row| row.step <= step);
        Ok(rows)
    }

    /// The last values are those of these rows.
    pub(super) fn recollect(&mut self, rows: Vec<Row>) {
        let mut last = BTreeMap::new();
        // Nothing that trains may see how the test part came out, where a finished run goes on.
        let seen = |name: &String| !name.starts_with("shadow.") && !name.starts_with("test/");
        for row in rows {
            last.extend(row.values.into_iter().filter(|(name, _)| seen(name)));
        }
        self.last = Arc::new(last);
    }

    /// What a checkpoint inside an epoch has of it.
    pub(super) fn tensors(&self) -> Result<BTreeMap<String, Tensor>, TchError> {
        let named = |prefix: &'static str, state: BTreeMap<String, Tensor>| {
            state.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
        };
        let recent = named("metrics/recent/", self.recent.state()?);
        Ok(recent.chain(named("metrics/whole/", self.whole.state()?)).collect())
    }

    /// Sets the means to those of a checkpoint.
    pub(super) fn restore(&mut self, tensors: &BTreeMap<String, Tensor>, device: Device) -> Result<(), TchError> {
        self.begin_epoch();
        self.recent.load_state(&below(tensors, "metrics/recent/"), device)?;
        self.whole.load_state(&below(tensors, "metrics/whole/"), device)
    }

    /// Makes sure that all rows are on the disk.
    pub(super) fn sync(&self) -> Result<(), RunError> {
        self.log.sync()
    }
}
