//! Ending a training that does not get better.

use lossmith_plugin::Level;

use super::event::Event;
use super::training::Training;
use super::training_error::TrainingError;
use crate::run::{self, Row, RowKind};

impl Training {
    /// Whether the last evaluations, as many as `evaluation.patience` says, were not better than one before them.
    pub(super) fn out_of_patience(&self) -> bool {
        self.assembly.experiment.evaluation.patience.is_some_and(|patience| self.stale >= patience.get())
    }

    /// Says why the training ends before its last epoch.
    pub(super) fn stop_early(&self, watch: &mut dyn FnMut(Event<'_>)) -> Result<(), TrainingError> {
        let event = run::Event::StoppedEarly {
            epoch: self.epoch_count(),
            step: self.step,
            metric: self.best_metric(),
            evaluations: self.stale as u64,
        };
        let line = Event::Line { slot: "evaluation.patience".to_owned(), level: Level::Info, text: event.to_string() };
        watch(line);
        Ok(self.run.record(event)?)
    }
}

/// How many evaluations there are since the best one, by the rows that count.
pub(super) fn stale(rows: &[Row], metric: &str) -> usize {
    let best = run::best(rows, metric).map_or(0, |(epoch, _)| epoch);
    let later = rows.iter().filter(|row| row.kind == RowKind::Evaluation && row.epoch > best);
    later.filter(|row| row.values.contains_key(metric)).count()
}
